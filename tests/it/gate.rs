//! The gate under attack.

mod deadline;
mod flood;
mod scene;
mod upstream;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[deadline::TESTS, flood::TESTS];
