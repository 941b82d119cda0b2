//! The gate under attack.

mod raw;
mod ssh_audit;
mod targets;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[targets::TESTS, raw::TESTS, ssh_audit::TESTS];
