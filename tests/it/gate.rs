//! The gate under attack.

mod targets;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[targets::TESTS];
