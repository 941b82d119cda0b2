//! The gate under attack.

mod deadline;
mod flood;
mod proxy_header;
mod scene;
mod targets;
mod upstream;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[deadline::TESTS, flood::TESTS, proxy_header::TESTS, targets::TESTS];
