import { assert, assertEquals, assertRejects } from "@std/assert";
import { openDataset } from "../../data/open.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { inFolder, lines, shown } from "./rows.ts";

const HOST = "127.0.0.1";

/** Makes a hub on loopback with one data set, "owner/name", that records its requests. */
function fakeHub(
  files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>,
): Deno.HttpServer<Deno.NetAddr> & { url: string; asked: string[] } {
  const asked: string[] = [];
  const answer = (request: Request): Response => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    if (pathname === "/api/datasets/owner/name/tree/main") {
      return Response.json(Object.entries(files).map(([path, { length }]) => ({ type: "file", path, size: length, oid: "0" })));
    }
    const bytes = pathname.startsWith("/datasets/owner/name/resolve/main/")
      ? files[pathname.slice("/datasets/owner/name/resolve/main/".length)]
      : undefined;
    if (bytes === undefined) return new Response("no such thing", { status: 404 });
    const [, first, last] = /^bytes=(\d+)-(\d+)$/u.exec(request.headers.get("range") ?? "") ?? [];
    const headers = { etag: '"0"' };
    if (first === undefined) return new Response(bytes, { headers });
    const range = `bytes ${first}-${last}/${bytes.length}`;
    return new Response(bytes.slice(Number(first), Number(last) + 1), { status: 206, headers: { ...headers, "content-range": range } });
  };
  const server = Deno.serve({ hostname: HOST, port: 0, onListen: () => {} }, answer);
  return Object.assign(server, { url: `http://${HOST}:${server.addr.port}`, asked });
}

const row = (answer: string) => ({ problem: "x", answer, images: "images/a.png" });
const FILES = {
  "README.md": new TextEncoder().encode("# Rows"),
  "train.jsonl": new TextEncoder().encode(lines([row("1"), row("2")])),
  "test.jsonl": new TextEncoder().encode(lines([row("3")])),
  "images/a.png": new Uint8Array([7]),
  "../../../outside.png": new Uint8Array([8]),
};

Deno.test("a data set of the hub is downloaded once, and then works without the hub", () =>
  inFolder(async (cacheDir) => {
    const hub = fakeHub(FILES), options = { cacheDir, hubUrl: hub.url };
    try {
      const [train, test] = [await openDataset("owner/name", options), await openDataset("owner/name@test", options)];
      assertEquals([train.size, test.size], [2, 1]);
      const sample = await test.sample(0);
      assertEquals([sample.id, sample.truth, shown(sample)], ["owner/name/test.jsonl:0", "3", "[7]x"]);
      assert(!hub.asked.some((path) => path.includes("outside") || path.includes("README")), hub.asked.join());
      await assertRejects(() => openDataset("owner/name@dev", options), KedgeError, "train.jsonl");
      await assertRejects(() => openDataset("owner/none", options), KedgeError, "404");
    } finally {
      await hub.shutdown();
    }
    const again = await openDataset("owner/name", options);
    assertEquals([(await again.sample(1)).truth, shown(await again.sample(1))], ["2", "[7]x"]);
    const error = await assertRejects(() => openDataset("owner/other", options), KedgeError, "get online");
    assertEquals([error.code, error.details.repo], ["BadData", "owner/other"]);
  }));
