/** Many processes on one Redis. */
import { binary, folder, freePort, start } from "./stage.mjs";

/** Two of each role, the gateways with these flags; `worker()` starts another worker. */
export async function fleet(t, ...flags) {
  const outlast = binary();
  const cwd = folder(t);
  const port = await freePort();
  // what it has answered outlives SIGKILL; for a power cut it would have to wait for the disk
  const options = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", cwd, "--save", "", "--appendonly", "yes", "--appendfsync", "no"];
  const redis = start(t, "redis-server", options, { cwd });
  await redis.printed(/Ready to accept connections/i);
  const store = ["--store", `redis://127.0.0.1:${port}`, "--admin-listen", "off"];
  const role = async (name, ...args) => {
    const process = start(t, outlast, [name, ...store, ...args], { cwd });
    const [, url] = await process.printed(new RegExp(`outlast ${name} ready(?: on (http://\\S+))?\\s*\\n`));
    return { ...process, port: url && Number(new URL(url).port) };
  };
  const worker = () => role("worker");
  const gateway = () => role("gateway", "--listen", "127.0.0.1:0", "--allow-anonymous", ...flags);
  await role("sessions");
  await role("sessions");
  const workers = [await worker(), await worker()];
  return { worker, workers, gateways: [await gateway(), await gateway()] };
}
