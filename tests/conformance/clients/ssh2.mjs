// Cases with node's ssh2, on which editors' extensions are built: a case in by JSON, its facts out by JSON.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { buffer, json, text } from "node:stream/consumers";
import { promisify } from "node:util";
import { Client } from "ssh2";

const PATIENCE_MS = 40_000;
/** Signs of life are asked for, and three that stay away end the connection. */
const BEAT_MS = 300;

/** Calls a method that answers by a callback. */
function asked(owner, method, ...args) {
  return promisify(owner[method]).apply(owner, args);
}

/** A connection that is logged in, by TCP or over a channel of the jump host's. */
async function login(server, known, way) {
  const client = new Client();
  client.connect({
    ...way,
    username: server.user,
    privateKey: await readFile(server.key),
    readyTimeout: PATIENCE_MS,
    keepaliveInterval: BEAT_MS,
    keepaliveCountMax: 3,
    hostVerifier: (key) => known.includes(key.toString("base64")),
  });
  await once(client, "ready");
  return client;
}

/** A client of the server under test, and what carries it. */
async function clients(server) {
  const known = await readFile(server.knownHosts, "utf8");
  if (!server.jumpPort) return [await login(server, known, { host: server.host, port: server.port })];
  const jump = await login(server, known, { host: "127.0.0.1", port: server.jumpPort });
  const sock = await asked(jump, "forwardOut", "127.0.0.1", 0, server.host, 22);
  return [await login(server, known, { sock }), jump];
}

/** What a channel came to: [status, signal, output, errors]. */
async function outcome(channel) {
  const closed = once(channel, "close");
  const [out, err] = await Promise.all([buffer(channel), buffer(channel.stderr)]);
  const [status, signal] = await closed;
  return [status ?? null, signal ?? null, plain(out), plain(err)];
}

async function execute(client, command, { input = "", ...options } = {}) {
  const channel = await asked(client, "exec", command, options);
  channel.end(input);
  return outcome(channel);
}

/** What can be compared: short bytes as text, long ones by hash. */
function plain(bytes) {
  if (bytes.length <= 4096) return bytes.toString();
  return `${bytes.length} bytes, sha256 ${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Bytes that look random and are the same every time. */
function noise(length) {
  return createHash("shake128", { outputLength: length }).update("noise").digest();
}

/** What a call that must fail says. */
async function refusal(call) {
  try {
    await call;
    return "it worked";
  } catch (fault) {
    return [fault.reason ?? fault.code ?? null, fault.message];
  }
}

/** Says what it hears, in capitals, when all was said. */
async function shout(stream) {
  stream.end((await text(stream)).toUpperCase());
}

/** Says `said` into a stream and answers with what comes back. */
async function heard(stream, said) {
  stream.end(said);
  return text(stream);
}

/** A listener of this process that shouts. */
async function shouter(where) {
  const listener = net.createServer({ allowHalfOpen: true }, shout);
  listener.listen(where);
  await once(listener, "listening");
  return listener;
}

const cases = {};

// @case
cases.exec__streams_and_status = async ({ client, note }) => {
  note("apart", await execute(client, "echo out; echo err >&2; exit 7"));
  note("killed", await execute(client, "kill -9 $$"));
  note("unread", (await execute(client, "exit 3", { input: noise(100_000) })).slice(0, 2));
};

// @case
cases.exec__input_comes_back = async ({ client, note }) => {
  for (const length of [0, 1, 32_767, 32_768, 32_769, 8 << 20]) {
    note(`${length} bytes`, await execute(client, "cat", { input: noise(length) }));
  }
};

// @case
cases.exec__a_terminal = async ({ client, note }) => {
  const pty = { rows: 31, cols: 91, term: "vt100", modes: { ECHO: 0, ONLCR: 0 } };
  note("terminal", await execute(client, "stty size; echo $TERM; echo err >&2; stty -a | grep -ow -- '-echo'; exit 4", { pty }));
};

// @case
cases.exec__many_at_once = async ({ client, note }) => {
  const numbers = [...Array(9).keys()];
  note("all", await Promise.all(numbers.map((n) => execute(client, `echo ${n}; exit ${n}`))));
};

// @case
cases.exec__a_variable = async ({ client, note }) => {
  note("locale", await execute(client, "echo $LC_DRAWBRIDGE", { env: { LC_DRAWBRIDGE: "told" } }));
};

// @case
cases.shell__a_window_changes = async ({ client, note }) => {
  const channel = await asked(client, "shell", { rows: 30, cols: 90, term: "dumb" });
  channel.setEncoding("utf8");
  channel.write("exec sh -c 'trap \"stty size; exit 5\" WINCH; echo rea\"\"dy; while :; do sleep 0.05; done'\n");
  let seen = "";
  const ready = new Promise((resolve) => {
    channel.on("data", (piece) => {
      seen += piece;
      if (seen.includes("ready")) resolve();
    });
  });
  await ready;
  channel.setWindow(50, 120, 0, 0);
  const [status] = await once(channel, "close");
  note("size", seen.slice(seen.lastIndexOf("ready") + "ready".length).trim());
  note("status", status);
};

// @case
cases.files__there_and_back = async ({ client, path, note }) => {
  const sftp = await asked(client, "sftp");
  await writeFile(path("from"), noise(4 << 20));
  await asked(sftp, "fastPut", path("from"), path("there"), { concurrency: 64, chunkSize: 32_768 });
  await asked(sftp, "fastGet", path("there"), path("back"), { concurrency: 64, chunkSize: 32_768 });
  note("back", plain(await readFile(path("back"))));
  note("size", (await asked(sftp, "stat", path("there"))).size);
  const [stream, append] = [sftp.createReadStream(path("there"), { start: 100, end: 60_000 }), "more"];
  note("a part", plain(await buffer(stream)));
  await asked(sftp, "appendFile", path("there"), append);
  note("appended", (await asked(sftp, "stat", path("there"))).size);
};

// @case
cases.files__extensions = async ({ client, path, note }) => {
  const sftp = await asked(client, "sftp");
  await asked(sftp, "writeFile", path("one"), "one");
  await asked(sftp, "writeFile", path("two"), "two");
  await asked(sftp, "ext_openssh_rename", path("one"), path("two"));
  note("renamed over", await readFile(path("two"), "utf8"));
  await asked(sftp, "ext_openssh_hardlink", path("two"), path("linked"));
  note("links", await readFile(path("linked"), "utf8"));
  const handle = await asked(sftp, "open", path("two"), "r+");
  await asked(sftp, "ext_openssh_fsync", handle);
  note("of a handle", Object.keys(await asked(sftp, "ext_openssh_fstatvfs", handle)).sort());
  await asked(sftp, "close", handle);
  note("of a path", Object.keys(await asked(sftp, "ext_openssh_statvfs", path(""))).sort());
  await asked(sftp, "symlink", "two", path("soft"));
  await asked(sftp, "ext_openssh_lsetstat", path("soft"), { mtime: 1_000_000_000, atime: 1_000_000_000 });
  note("the link", (await asked(sftp, "lstat", path("soft"))).mtime);
  note("its target", (await asked(sftp, "stat", path("soft"))).mtime > 1_000_000_000);
  note("copied", await refusal(copy(sftp, path("two"), path("copy"))));
  note("the copy", await refusal(readFile(path("copy"), "utf8").then((read) => assert.equal(read, "one"))));
};

async function copy(sftp, from, to) {
  const [source, target] = [await asked(sftp, "open", from, "r"), await asked(sftp, "open", to, "w")];
  await asked(sftp, "ext_copy_data", source, 0, 0, target, 0);
  await Promise.all([source, target].map((handle) => asked(sftp, "close", handle)));
}

// @case
cases.files__names_and_attributes = async ({ client, path, note }) => {
  const sftp = await asked(client, "sftp");
  await asked(sftp, "mkdir", path("folder"), { mode: 0o750 });
  await asked(sftp, "writeFile", path("folder/ü\n x"), "x", { mode: 0o640 });
  await asked(sftp, "symlink", "nowhere", path("folder/link"));
  note("points to", await asked(sftp, "readlink", path("folder/link")));
  await asked(sftp, "utimes", path("folder/ü\n x"), 1_000_000_000, 1_100_000_000);
  const listed = await asked(sftp, "readdir", path("folder"));
  const told = ({ filename, attrs }) => [filename, attrs.mode.toString(8), filename === "link" ? 0 : attrs.mtime, attrs.isSymbolicLink()];
  note("listed", listed.map(told).sort());
  note("real", (await asked(sftp, "realpath", path("folder/../folder"))) === path("folder"));
  note("there", [await exists(sftp, path("folder")), await exists(sftp, path("missing"))]);
  await asked(sftp, "unlink", path("folder/link"));
  await asked(sftp, "unlink", path("folder/ü\n x"));
  await asked(sftp, "rmdir", path("folder"));
  note("gone", !(await exists(sftp, path("folder"))));
};

function exists(sftp, path) {
  return new Promise((resolve) => sftp.exists(path, resolve));
}

// @case
cases.files__what_fails_says_why = async ({ client, path, note }) => {
  const sftp = await asked(client, "sftp");
  await asked(sftp, "writeFile", path("file"), "x");
  note("missing", await refusal(asked(sftp, "stat", path("missing"))));
  note("no folder", (await refusal(asked(sftp, "readdir", path("file"))))[0]);
  note("there already", (await refusal(asked(sftp, "mkdir", path(""))))[0]);
  note("exclusive", (await refusal(asked(sftp, "open", path("file"), "wx")))[0]);
  note("not empty", (await refusal(asked(sftp, "rmdir", path(""))))[0]);
  note("renamed over", await refusal(asked(sftp, "rename", path("missing"), path("file"))));
};

// @case
cases.forward__to_a_port = async ({ client, note }) => {
  const listener = await shouter({ host: "127.0.0.1", port: 0 });
  const to = (host, port) => asked(client, "forwardOut", "127.0.0.1", 0, host, port);
  note("heard", await heard(await to("127.0.0.1", listener.address().port), "said"));
  note("by name", await heard(await to("localhost", listener.address().port), "said"));
  note("nobody", await refusal(to("127.0.0.1", 1)));
  listener.close();
};

// @case
cases.forward__from_a_port = async ({ client, note }) => {
  client.on("tcp connection", (_, accept) => shout(accept()));
  const port = await asked(client, "forwardIn", "127.0.0.1", 0);
  const reach = () => net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  note("heard", await heard(reach(), "said"));
  await asked(client, "unforwardIn", "127.0.0.1", port);
  note("gone", (await refusal(once(reach(), "connect")))[0]);
};

// @case
cases.forward__to_a_socket = async ({ client, path, note }) => {
  const listener = await shouter({ path: path("socket") });
  const to = (name) => asked(client, "openssh_forwardOutStreamLocal", path(name));
  note("heard", await heard(await to("socket"), "said"));
  note("missing", (await refusal(to("missing")))[0]);
  listener.close();
};

// @case
cases.forward__from_a_socket = async ({ client, path, note }) => {
  client.on("unix connection", (_, accept) => shout(accept()));
  await asked(client, "openssh_forwardInStreamLocal", path("socket"));
  const reach = () => net.connect({ path: path("socket"), allowHalfOpen: true });
  note("heard", await heard(reach(), "said"));
  await asked(client, "openssh_unforwardInStreamLocal", path("socket"));
  note("gone", (await refusal(once(reach(), "connect")))[0]);
};

// @case
cases.connection__signs_of_life = async ({ client, note }) => {
  note("still there", await execute(client, "sleep 1.5; echo awake"));
};

// @case
cases.connection__no_more_sessions = async ({ client, note }) => {
  const channel = await asked(client, "exec", "cat");
  await asked(client, "openssh_noMoreSessions");
  note("the first goes on", await heard(channel, "said"));
  client.on("error", () => {});
  const over = new Promise((closed) => client.once("close", closed));
  client.exec("true", () => {});
  await over;
  note("one more", "ends the connection");
};

const { case: name, dir, server } = await json(process.stdin);
const facts = {};
const [client, ...carriers] = await clients(server);
await cases[name]({ client, path: (file) => `${dir}/${file}`, note: (fact, value) => void (facts[fact] = value) });
client.end();
carriers.forEach((carrier) => carrier.end());
process.stdout.write(JSON.stringify(facts));
