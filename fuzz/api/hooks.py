"""What schemathesis does not have: NDJSON, the contract's error body, and that nothing secret comes back."""

import json
import re

import schemathesis
from schemathesis.core.failures import Failure

FIELDS = {"status", "title", "detail", "traceId"}
TOKEN = re.compile(r"db[ouad]_[A-Za-z0-9_-]{48}")


def fail(case, response, message):
    raise Failure(operation=case.operation.label, title="The contract's error body", message=f"{message}: {response.text[:400]}")


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """The import's body: one JSON value a line."""
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    lines = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(line) for line in lines).encode()


@schemathesis.check
def problem_body(ctx, response, case):
    """Every 4xx and 5xx carries status, title, traceId and perhaps detail, and nothing else."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    kind = response.headers.get("content-type", [""])[0]
    if kind not in ("application/problem+json", "application/json"):
        fail(case, response, f"content type {kind!r}")
    try:
        body = response.json()
    except ValueError:
        fail(case, response, "no JSON")
    if not isinstance(body, dict) or not set(body) <= FIELDS:
        fail(case, response, "other fields than status, title, detail, traceId")
    if body.get("status") != response.status_code:
        fail(case, response, f"the body says {body.get('status')!r}, the answer {response.status_code}")
    for field in ("title", "traceId"):
        if not isinstance(body.get(field), str) or not body[field]:
            fail(case, response, f"no {field}")
    if not isinstance(body.get("detail", ""), str):
        fail(case, response, "a detail that is no text")


@schemathesis.check
def no_secret_in_an_error(ctx, response, case):
    """An error never repeats a token or a private key."""
    if response.status_code >= 400 and (TOKEN.search(response.text) or "PRIVATE KEY-----" in response.text):
        fail(case, response, "a secret is repeated")
