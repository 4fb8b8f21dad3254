/**
 * Makes a hub on loopback with one model, "owner/name". Another server delivers its large files, as for the real hub.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** A request to the hub. */
export interface Asked {
  readonly at: "hub" | "store";
  readonly path: string;
  readonly token: string | null;
  readonly range: string | null;
}

/** The hub, and settings to make it misbehave. */
export interface ModelHub {
  readonly url: string;
  readonly commit: string;
  readonly asked: Asked[];
  /** The next large file ends at this byte. */
  cutAt: number | undefined;
  /** Large files arrive with one byte changed. */
  spoiled: boolean;
  close(): Promise<void>;
}

const HOST = "127.0.0.1", COMMIT = "0123456789abcdef0123456789abcdef01234567";
const hex = (name: string, ...parts: (string | Uint8Array)[]) => {
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

/** Starts one. Its token is "hf_secret". */
export function fakeModelHub(files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>): ModelHub {
  const asked: Asked[] = [];
  const note = (at: Asked["at"], { url, headers }: Request) => {
    const { pathname } = new URL(url);
    asked.push({ at, path: pathname, token: headers.get("authorization"), range: headers.get("range") });
    return pathname;
  };
  const large = (path: string) => path.endsWith(".safetensors");
  const part = (bytes: Uint8Array<ArrayBuffer>, range: string | null): Response => {
    const first = Number(/^bytes=(\d+)-/u.exec(range ?? "")?.[1] ?? 0), cut = hub.cutAt;
    const status = range === null ? 200 : 206, rest = bytes.slice(first);
    if (cut === undefined) return new Response(rest, { status });
    hub.cutAt = undefined;
    const halves = [rest.subarray(0, (cut - first) / 2), rest.subarray((cut - first) / 2, cut - first)].values();
    const pull = async (to: ReadableStreamDefaultController) => {
      const { value, done } = halves.next();
      if (!done) return to.enqueue(value);
      await new Promise((then) => setTimeout(then, 50)); // so that the sent bytes have arrived
      to.error(new Error("cut off"));
    };
    return new Response(new ReadableStream({ pull }), { status });
  };
  const store = Deno.serve({ hostname: HOST, port: 0, onListen: () => {}, onError: () => new Response("", { status: 500 }) }, (request) => {
    const bytes = files[note("store", request).slice(1)]!.slice();
    if (hub.spoiled) bytes[7]! ^= 1;
    return part(bytes, request.headers.get("range"));
  });
  const server = Deno.serve({ hostname: HOST, port: 0, onListen: () => {} }, (request) => {
    const path = note("hub", request), resolve = `/owner/name/resolve/${COMMIT}/`;
    if (request.headers.get("authorization") !== "Bearer hf_secret") return new Response("", { status: 401 });
    if (/^\/api\/models\/owner\/name\/revision\/[\w.]+$/u.test(path)) {
      return Response.json({ _id: "1", id: "owner/name", private: false, sha: COMMIT, lastModified: "2026-01-01T00:00:00Z" });
    }
    if (path === `/api/models/owner/name/tree/${COMMIT}`) {
      return Response.json(
        Object.entries(files).map(([path, bytes]) => ({
          type: "file",
          path,
          size: bytes.length,
          oid: hex("sha1", `blob ${bytes.length}\0`, bytes),
          ...large(path) && { lfs: { oid: hex("sha256", bytes), size: bytes.length, pointerSize: 130 } },
        })),
      );
    }
    const bytes = path.startsWith(resolve) ? files[path.slice(resolve.length)] : undefined;
    if (bytes === undefined) return new Response("no such thing", { status: 404 });
    if (large(path)) return Response.redirect(`http://${HOST}:${store.addr.port}/${path.slice(resolve.length)}`);
    return new Response(bytes);
  });
  let closed: Promise<unknown> | undefined;
  const hub: ModelHub = {
    url: `http://${HOST}:${server.addr.port}`,
    commit: COMMIT,
    asked,
    cutAt: undefined,
    spoiled: false,
    close: async () => void await (closed ??= Promise.all([server.shutdown(), store.shutdown()])),
  };
  return hub;
}
