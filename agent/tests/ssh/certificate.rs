//! A host certificate is shown as soon as there is one: whoever trusts its CA knows the workspace without its key.

use crate::harness::{Workspace, text};
use russh::keys::Certificate;
use std::{fs, process::Command};

const NAME: &str = "ws-796636";

/// `ssh-keygen`'s certificate of the workspace's host key, and known_hosts with nothing but the CA.
fn certify(workspace: &Workspace) -> Certificate {
    let keygen = |arguments: &[&str]| {
        let done = Command::new("ssh-keygen").current_dir(workspace.path("")).arg("-q").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    keygen(&["-t", "ed25519", "-N", "", "-f", "ca"]);
    keygen(&["-s", "ca", "-h", "-I", "demo", "-n", NAME, "-V", "-1h:+1d", "host.pub"]);
    let ca = fs::read_to_string(workspace.path("ca.pub")).unwrap();
    fs::write(workspace.path("authorities"), format!("@cert-authority * {ca}")).unwrap();
    Certificate::from_openssh(&fs::read_to_string(workspace.path("host-cert.pub")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_to_whoever_connects_next() {
    let workspace = Workspace::start().await;
    let certificate = certify(&workspace);
    let authorities = format!("-oUserKnownHostsFile={}", workspace.path("authorities").display());
    let options = [&format!("-oHostKeyAlias={NAME}"), authorities.as_str()];
    let before = workspace.run_with(&options, "echo in", &[]).await;
    assert_eq!(before.status.code(), Some(255));
    assert!(text(&before.stderr).contains("Host key verification failed"), "{}", text(&before.stderr));
    workspace.server().certify(certificate);
    let after = workspace.run_with(&options, "echo in", &[]).await;
    assert_eq!(text(&after.stdout), "in\n", "{}", text(&after.stderr));
    assert_eq!(text(&workspace.run("echo plain").await.stdout), "plain\n", "the plain key stands beside it");
}
