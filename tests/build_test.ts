import { assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { buildLibrary, type BuildOptions, cacheFolder } from "../ffi/build.ts";
import { KedgeError } from "../ffi/errors.ts";
import { loadLibrary } from "../ffi/load.ts";
import { runChild } from "./child.ts";
import { littleBuild } from "./little_build.ts";

// These tests load the libraries that they build, and a library stays loaded.
Deno.test.sanitizer({ ops: true, resources: false });

/** Calls a function with a new cache folder and a list of the progress lines. */
async function withCache(body: (options: BuildOptions & { cache: string }, lines: string[]) => void | Promise<void>): Promise<void> {
  const cache = Deno.makeTempDirSync({ dir: cacheFolder(), prefix: "test-build-" });
  const lines: string[] = [];
  try {
    await body({ cache, progress: (line) => lines.push(line) }, lines);
  } finally {
    Deno.removeSync(cache, { recursive: true });
  }
}

const answer = (path: string) => loadLibrary(path, { little_answer: { parameters: [], result: "i32" } }).little_answer!();
const folders = (cache: string) =>
  [...Deno.readDirSync(cache)].filter((entry) => entry.isDirectory && entry.name !== "objects").map(({ name }) => name);

Deno.test("a library is built once, with a progress line, and then found", () =>
  withCache((options, lines) => {
    const path = buildLibrary(littleBuild(), options);
    assertEquals(answer(path), 42);
    assertMatch(lines[0]!, /^Kedge: building little library \(first use, 2 files with (c|g)\+\+\) \.\.\.$/);
    const count = lines.length;
    assertEquals(buildLibrary(littleBuild(), options), path);
    assertEquals(lines.length, count);
  }));

Deno.test("a changed header or flag makes another library, and keeps the first", () =>
  withCache((options) => {
    const first = buildLibrary(littleBuild(), options);
    const second = buildLibrary(littleBuild({ "number.h": "#define NUMBER 43\n" }), options);
    assertNotEquals(second, first);
    assertEquals([answer(first), answer(second)], [42, 43]);
    const build = littleBuild();
    assertNotEquals(buildLibrary({ ...build, compileFlags: [...build.compileFlags, "-DMORE"] }, options), first);
    assertNotEquals(buildLibrary({ ...build, linkFlags: [...build.linkFlags, "-Wl,-z,now"] }, options), first);
  }));

Deno.test("only changed files are compiled again", () =>
  withCache((options) => {
    const objects = () => [...Deno.readDirSync(`${options.cache}/objects`)].length;
    buildLibrary(littleBuild(), options);
    assertEquals(objects(), 2);
    buildLibrary(littleBuild({ "number.h": "#define NUMBER 43\n" }), options); // other.cpp does not include it
    assertEquals(objects(), 3);
  }));

Deno.test("old leftovers of a killed build are removed, and files of a running build are not", () =>
  withCache((options) => {
    const left = (minutes: number) => {
      const path = `${options.cache}/little-0123.${crypto.randomUUID()}`;
      Deno.mkdirSync(`${path}/src`, { recursive: true });
      const time = new Date(Date.now() - minutes * 60_000);
      Deno.utimeSync(path, time, time);
      return path.slice(options.cache.length + 1);
    };
    const [, young] = [left(90), left(30)];
    buildLibrary(littleBuild(), options);
    assertEquals(folders(options.cache).filter((name) => name.startsWith("little-0123.")), [young]);
  }));

Deno.test("a compile error has the compiler's message, and leaves no files", () =>
  withCache((options) => {
    const broken = littleBuild({ "a/other.cpp": "int f() { return undeclared_name; }\n" });
    const error = assertThrows(() => buildLibrary(broken, options), KedgeError, "Cannot build the little library");
    assertEquals(error.code, "Build");
    assertMatch(error.message, /a\/other\.cpp:1:\d+: error: .*undeclared_name/);
    assertEquals(folders(options.cache), []);
    assertEquals(answer(buildLibrary(littleBuild(), options)), 42);
  }));

Deno.test("a link error has the linker's message", () =>
  withCache((options) => {
    const build = littleBuild();
    const error = assertThrows(() => buildLibrary({ ...build, linkFlags: [...build.linkFlags, "-lno-such-library"] }, options), KedgeError);
    assertMatch(error.message, /no-such-library/);
  }));

Deno.test("four processes that build at once end with one library", () =>
  withCache(async ({ cache }) => {
    const permissions = ["--allow-read", `--allow-write=${cache}`, "--allow-run=c++,g++", "--allow-env=PATH,LD_LIBRARY_PATH"];
    const child = () => runChild("tests/build_child.ts", { permissions, args: [cache] });
    const ends = await Promise.all([child(), child(), child(), child()]);
    for (const { code, stderr } of ends) assertEquals(code, 0, stderr);
    assertEquals(new Set(ends.map(({ stdout }) => stdout)).size, 1);
    assertEquals(folders(cache).length, 1);
    assertEquals(ends.filter(({ stderr }) => stderr.includes("Kedge: built little library")).length, 1, "one compiles, the others wait");
    assertEquals(answer(ends[0]!.stdout), 42);
  }));

Deno.test("the message for a missing compiler is one line that says what to install", () =>
  withCache((options) => {
    const path = Deno.env.get("PATH")!;
    try {
      Deno.env.set("PATH", options.cache);
      const error = assertThrows(
        () => buildLibrary(littleBuild(), options),
        KedgeError,
        "c++ is not in PATH; g++ is not in PATH. Install one: ",
      );
      assertEquals([error.code, error.message.includes("\n")], ["Build", false]);
    } finally {
      Deno.env.set("PATH", path);
    }
  }));
