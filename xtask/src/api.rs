//! The REST API as a script calls it.

use anyhow::{Context, Result, ensure};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use ureq::{Agent, Body, http::Response};

/// Speaks to the edge with one token.
#[derive(Clone, Debug)]
pub struct Api {
    http: Agent,
    base: String,
    token: String,
}

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds that it says to wait.
    pub retry_after: Option<u64>,
    /// Its body, as text.
    pub body: String,
}

impl Api {
    /// For the edge at `base` with `token`.
    pub fn new(base: &str, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            // It is on this machine, whatever proxy leads out of it.
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(20)));
        Self { http: config.build().into(), base: base.into(), token: token.into() }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Result<Answer> {
        answer(self.http.get(self.url(path)).header("Authorization", self.bearer()).call(), path)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        answer(self.http.post(self.url(path)).header("Authorization", self.bearer()).send_json(body), path)
    }

    /// `POST path` with lines of JSON.
    pub fn post_lines(&self, path: &str, lines: &str) -> Result<Answer> {
        let request = self.http.post(self.url(path)).header("Authorization", self.bearer());
        answer(request.header("Content-Type", "application/x-ndjson").send(lines), path)
    }

    /// `PUT path` with a JSON body.
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        answer(self.http.put(self.url(path)).header("Authorization", self.bearer()).send_json(body), path)
    }

    /// `DELETE path` with a JSON body, as the key API's contract has it.
    pub fn delete(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        let request = self.http.delete(self.url(path)).header("Authorization", self.bearer());
        answer(request.force_send_body().send_json(body), path)
    }

    /// `method path` without a body, whatever the method.
    pub fn call(&self, method: &str, path: &str) -> Result<Answer> {
        let request = ureq::http::Request::builder().method(method).uri(self.url(path)).header("Authorization", self.bearer());
        answer(self.http.run(request.body(())?), path)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

impl Answer {
    /// Its body, if the status is 2xx.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        ensure!((200..300).contains(&self.status), "the edge answered {}: {}", self.status, self.body);
        serde_json::from_str(&self.body).with_context(|| format!("unexpected body: {}", self.body))
    }

    /// Fails unless the status is 2xx.
    pub fn ok(&self) -> Result<()> {
        ensure!((200..300).contains(&self.status), "the edge answered {}: {}", self.status, self.body);
        Ok(())
    }
}

fn answer(result: Result<Response<Body>, ureq::Error>, path: &str) -> Result<Answer> {
    let mut response = result.with_context(|| format!("{path}: no answer from the edge"))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("Retry-After").and_then(|wait| wait.to_str().ok()?.parse().ok());
    Ok(Answer { status, retry_after, body: response.body_mut().read_to_string()? })
}
