// The Worker's entry point. A trap in wasm (a panic) leaves its instance unusable: calls in flight are rejected,
// and the next call gets a fresh instance.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "./edge.js";

const state = wasm.__worker_init_state();
const inFlight = new Set();

function trapped(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  state.criticalError = true;
  for (const reject of inFlight) reject(error);
}
addEventListener("error", (event) => trapped(event.error));

function renew() {
  if (!state.criticalError) return;
  wasm.__wbg_reset_state();
  state.criticalError = false;
  state.instanceId++;
}

function call(into) {
  return new Promise((resolve, reject) => {
    inFlight.add(reject);
    const run = async () => {
      renew();
      return await into();
    };
    run()
      .then(resolve, (error) => {
        trapped(error);
        reject(error);
      })
      .finally(() => inFlight.delete(reject));
  });
}

function problem() {
  const traceId = crypto.randomUUID().slice(0, 8);
  console.error(`trace ${traceId}: the Worker failed`);
  const body = { status: 500, title: "Internal error", detail: "This is a fault in the edge. Try again; if it stays, quote the traceId.", traceId };
  return Response.json(body, { status: 500, headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" } });
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    try {
      return await call(() => wasm.fetch(request, this.env, this.ctx));
    } catch (error) {
      return problem();
    }
  }

  scheduled(event) {
    return call(() => wasm.scheduled(event, this.env, this.ctx));
  }
}

export class Ledger extends DurableObject {
  #inner;
  #instance;

  get inner() {
    if (this.#instance !== state.instanceId) {
      this.#inner = new wasm.Ledger(this.ctx, this.env);
      this.#instance = state.instanceId;
    }
    return this.#inner;
  }

  fetch(request) {
    return call(() => this.inner.fetch(request));
  }

  alarm() {
    return call(() => this.inner.alarm());
  }

  webSocketMessage(socket, message) {
    return call(() => this.inner.webSocketMessage(socket, message));
  }

  webSocketClose(socket, code, reason, clean) {
    return call(() => this.inner.webSocketClose(socket, code, reason, clean));
  }

  webSocketError(socket, error) {
    return call(() => this.inner.webSocketError(socket, error));
  }
}
