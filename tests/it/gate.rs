//! The gate under attack.

mod attack;
mod credentials;
mod deadline;
mod flood;
mod peers;
mod proxy_header;
mod raw;
mod scene;
mod ssh_audit;
mod targets;
mod uniform;
mod upstream;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[
    credentials::TESTS,
    deadline::TESTS,
    flood::TESTS,
    proxy_header::TESTS,
    targets::TESTS,
    uniform::TESTS,
    raw::TESTS,
    ssh_audit::TESTS,
    peers::TESTS,
];
