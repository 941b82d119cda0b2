//! Which answers of the edge count, what is done where there is none, and what the state folder keeps.

use super::*;
use drawbridge_shared::{native::clock, token::Scope};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn refused(status: u16) -> EdgeFault {
    EdgeFault::Refused { status, title: String::new(), detail: String::new() }
}

/// The edge as these tests play it, and a state folder.
struct Place {
    _root: tempfile::TempDir,
    state: StateDir,
    edge: TcpListener,
}

impl Place {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        Self { _root: root, state, edge: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// With the workspace key of seed 1, and a token of `seed`.
    fn enrolment(&self, seed: u8) -> Enrolment {
        let (key, token) = (Identity::from_seed(&[1; 32]), Token::mint(Scope::Agent, &[seed; 32]));
        let url = format!("http://{}", self.edge.local_addr().unwrap()).parse().unwrap();
        let client = EdgeClient::new(url, token.clone()).unwrap();
        let roots = Identity::from_seed(&[9; 32]).public().to_line().parse().unwrap();
        Enrolment::new(client, self.state.clone(), roots, &key)
    }

    /// Answers one call; returns what was asked.
    async fn answer(&self, status: u16, body: &str) -> String {
        let (mut stream, _) = self.edge.accept().await.unwrap();
        let mut asked = Vec::with_capacity(4096);
        assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        let answer = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8_lossy(&asked).lines().next().unwrap_or_default().to_owned()
    }

    /// Enrols for `workspace` with a token of `seed`.
    async fn enrol(&self, seed: u8, workspace: &str) -> Enrolled {
        let (mut enrolment, answer) = (self.enrolment(seed), yes(workspace));
        let (enrolled, _) = tokio::join!(enrolment.begin(), self.answer(200, &answer));
        enrolled.unwrap()
    }

    fn kept(&self) -> Option<WorkspaceId> {
        remembered(&self.state).unwrap().map(|record| record.enrolled.workspace)
    }
}

fn yes(workspace: &str) -> String {
    format!(r#"{{"workspace": "{workspace}", "region": "eu"}}"#)
}

/// A list of keys of `workspace`, as the edge signs it.
fn document(workspace: &str) -> String {
    let document = AuthorizedKeys {
        version: AuthorizedKeys::VERSION,
        workspace: workspace.parse().unwrap(),
        seq: drawbridge_shared::id::SnapshotSeq(1),
        issued_at: clock::now(),
        not_after: clock::now().after(Duration::from_secs(60)),
        keys: vec![],
        daemons: vec![],
        signers: vec![],
    };
    document.sign(&[Identity::from_seed(&[9; 32]).ssh()]).unwrap()
}

#[test]
fn only_what_waiting_cannot_mend_is_final() {
    assert!([400, 401, 403, 404, 409].into_iter().all(|status| is_final(&refused(status))));
    assert!(![408, 429, 500, 503].into_iter().any(|status| is_final(&refused(status))));
    assert!(!is_final(&EdgeFault::Unreadable));
}

/// A listener that accepts nothing is an edge that hangs: the kernel connects, and nobody answers.
#[tokio::test]
async fn who_is_enrolled_does_not_wait_for_an_edge_that_hangs_and_enrols_after_all() {
    let place = Place::new().await;
    let enrolled = place.enrol(1, "796636").await;
    let (mut again, begun) = (place.enrolment(1), time::Instant::now());
    assert_eq!(again.begin().await.unwrap(), enrolled);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let stop = CancellationToken::new();
    let edge = async {
        // The call that was given up waits in the queue.
        drop(place.edge.accept().await.unwrap());
        place.answer(409, "").await;
        place.answer(503, "").await;
        place.answer(409, "").await;
        place.answer(409, "").await;
    };
    let (fault, ()) = tokio::join!(again.refused(&stop), edge);
    assert!(matches!(fault, EnrolFault::Refused(EdgeFault::Refused { status: 409, .. })), "{fault}");
}

#[tokio::test]
async fn another_token_is_asked_after_first_and_one_of_another_workspace_changes_nothing() {
    let place = Place::new().await;
    place.enrol(1, "796636").await;
    let (mut theirs, list) = (place.enrolment(2), document("lighthouse"));
    let (fault, asked) = tokio::join!(theirs.begin(), place.answer(200, &list));
    assert!(fault.unwrap_err().to_string().contains("folder of workspace 796636, and the token is workspace lighthouse's"));
    assert!(asked.starts_with("GET "), "nothing was enrolled: {asked}");
    let (mut ours, list, answer) = (place.enrolment(3), document("796636"), yes("796636"));
    let edge = async {
        place.answer(200, &list).await;
        place.answer(200, &answer).await
    };
    let (enrolled, asked) = tokio::join!(ours.begin(), edge);
    assert!(enrolled.is_ok() && asked.starts_with("POST "), "{asked}");
    assert_eq!(place.kept(), "796636".parse().ok());
}

#[tokio::test]
async fn an_answer_for_another_workspace_is_not_taken() {
    let place = Place::new().await;
    place.enrol(1, "796636").await;
    let (mut again, answer) = (place.enrolment(1), yes("lighthouse"));
    let (fault, _) = tokio::join!(again.begin(), place.answer(200, &answer));
    assert!(matches!(fault, Err(EnrolFault::Elsewhere { .. })));
    assert_eq!(place.kept(), "796636".parse().ok());
}

/// A folder in the file's place fails every write, and root's too.
#[tokio::test]
async fn an_enrolment_that_cannot_be_saved_is_good() {
    let place = Place::new().await;
    std::fs::create_dir(place.state.path(ENROLLED)).unwrap();
    assert_eq!(place.enrol(1, "796636").await.workspace.as_str(), "796636");
}

#[tokio::test]
async fn what_an_agent_from_before_kept_is_read() {
    let place = Place::new().await;
    place.state.write(ENROLLED, yes("796636").as_bytes()).unwrap();
    assert_eq!(place.kept(), "796636".parse().ok());
    assert!(!place.enrolment(1).is_known());
    place.state.write(ENROLLED, b"{").unwrap();
    assert_eq!(place.kept(), None);
}

/// A proof is for one token: the one that is shown.
#[tokio::test]
async fn a_token_that_was_rolled_meanwhile_proves_itself() {
    let place = Place::new().await;
    let file = place.state.path("token");
    let rolled = Token::mint(Scope::Agent, &[2; 32]);
    std::fs::write(&file, rolled.expose()).unwrap();
    let mut enrolment = place.enrolment(1);
    enrolment.edge = enrolment.edge.rereading(Some(file));
    let answer = yes("796636");
    let edge = async {
        place.answer(401, "").await;
        place.answer(400, "").await;
        place.answer(200, &answer).await
    };
    let (enrolled, _) = tokio::join!(enrolment.begin(), edge);
    assert!(enrolled.is_ok());
    assert_eq!(
        enrolment.before.and_then(|record| record.applicant).map(|applicant| applicant.token),
        Some(rolled.hash().to_hex())
    );
}
