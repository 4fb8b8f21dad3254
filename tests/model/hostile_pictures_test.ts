/**
 * Measures the peak memory of a process that reads hostile pictures. No picture costs more than its bound, whatever its header states. With
 * `--slow` the largest accepted pictures are read.
 */
import { assert, assertEquals } from "@std/assert";
import { runChild } from "../child.ts";

const SLOW = Deno.args.includes("--slow"), MOST = SLOW ? 1000 : 400; // MiB

Deno.test("hostile pictures are refused by name, and cost no memory", async () => {
  const permissions = [
    "--allow-read",
    "--allow-ffi",
    "--allow-write=.cache",
    "--allow-run=c++",
    "--allow-sys=systemMemoryInfo",
    "--allow-env",
  ];
  const { code, stdout, stderr } = await runChild("tests/model/hostile_pictures.ts", {
    permissions,
    args: SLOW ? ["--all"] : [],
    ownMemory: true,
  });
  assertEquals([code, stderr], [0, ""]);
  const said = JSON.parse(stdout) as Record<string, { words: string; peak: number }>;
  const WORDS: Readonly<Record<string, RegExp>> = {
    "a PNG of 13000 x 13000": /13000 x 13000 pixels are more than 67108864/,
    "a JPEG that claims 65500 x 65500": /65500 x 65500 pixels are more than/,
    "a WebP that claims 16384 x 16384": /the WebP is cut or broken/,
    "a GIF that claims 65535 x 65535": /65535 x 65535 pixels are more than/,
    "a TIFF that claims 100000 x 100000": /100000 x 100000 pixels are more than/,
    "a TIFF with one tile of 30000 x 30000": /the TIFF is cut or broken/,
    "a PNG that claims 8192 x 8192 and has ten rows": /the PNG is cut or broken/,
    "a JPEG that claims 8191 x 8191 and has no data": /the JPEG is cut or broken/,
    "an SVG that names a file": /begin with "<svg xmlns/,
    "an SVG behind an XML declaration": /JPEG, PNG, WebP, GIF and TIFF can be read/,
    "a PNG with a note of 64 MiB": /^4 x 4 patches$/,
    ...SLOW && { "four PNGs of 8192 x 8192 at once": /^70 x 70 patches$/ },
  };
  assertEquals(Object.keys(said), Object.keys(WORDS));
  for (const [name, { words, peak }] of Object.entries(said)) {
    assert(WORDS[name]!.test(words), `${name}: ${words}`);
    if (!words.includes("patches")) assert(words.startsWith(`KedgeError BadData: Cannot read ${name}: `), words);
    assert(peak < MOST, `${name}: ${peak} MiB`);
  }
});
