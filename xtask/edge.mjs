// Runs the built Worker in workerd with wrangler's own reading of wrangler.toml, and with none of what `wrangler dev` puts
// around it for editing: no bundler, no proxy, no watcher, and so no restart in the middle of a request.
//
// node edge.mjs <wrangler> <build> <home> <port>: the folder of the wrangler package, of the built Worker, and of the stack,
// which has wrangler.toml and secrets.env and gets `state`; where to listen on loopback.

import { createRequire } from "node:module";
import { join } from "node:path";

const [wrangler, build, home, port] = process.argv.slice(2);
const load = createRequire(join(wrangler, "package.json"));
const { Log, LogLevel, Miniflare } = load("miniflare");
const { unstable_getMiniflareWorkerOptions: read } = load("wrangler");

const { workerOptions } = read(join(home, "wrangler.toml"), undefined, { envFiles: [join(home, "secrets.env")] });
const edge = new Miniflare({
  host: "127.0.0.1",
  port: Number(port),
  defaultPersistRoot: join(home, "state/v3"),
  log: new Log(LogLevel.WARN),
  telemetry: { enabled: false },
  workers: [
    {
      ...workerOptions,
      name: "drawbridge-edge",
      modules: true,
      modulesRules: [
        { type: "ESModule", include: ["**/*.js"] },
        { type: "CompiledWasm", include: ["**/*.wasm"] },
      ],
      modulesRoot: build,
      scriptPath: join(build, "index.js"),
    },
  ],
});

// The system's other parts may still be calling: what runs is ended with the process.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => edge.dispose().finally(() => process.exit(0)));
await edge.ready;
