//! The gate under attack.

mod raw;
mod targets;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[targets::TESTS, raw::TESTS];
