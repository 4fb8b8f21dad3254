/** The page while a token is accepted. */
import { el } from "../page/elements.js";
import { Ledger } from "../page/ledger.js";
import { answersView } from "./answers_view.js";
import { Api } from "./api.js";
import { bimodalityView } from "./bimodality_view.js";
import { chat } from "./chat.js";
import { controls } from "./controls.js";
import { curvesView } from "./curves_view.js";
import { documentation } from "./documentation.js";
import { follow } from "./event_stream.js";
import { header } from "./header.js";
import { newestAnswer } from "./newest_answer.js";
import { notesView } from "./notes_view.js";
import { Rollouts } from "./rollouts.js";
import { progressOf, stateWords } from "./run_progress.js";
import { tuning, tuningWords } from "./tuning.js";
import { views } from "./views.js";

// the number of metrics lines that are kept; milliseconds between two updates of the curves and of the histogram
const LINES = 20_000, DRAW = 500, HISTOGRAM = 3000;
const RESTS = ["idle", "stopped", "done", "failed"];
/** The states in which the policy answers. */
const ANSWERS = ["warm-start", "running", "paused"];

/** The words to show while there is nothing to display. */
const NOTHING = {
  idle: "The run has not started: Start begins it.",
  starting: "The run is starting: it loads the model and the data.",
};

/** Limits calls of `work` to one per interval. The last call is never lost. */
const spaced = (work, milliseconds) => {
  let timer, again = false;
  const run = () => {
    again = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (again) run();
    }, milliseconds);
    work();
  };
  return { ask: () => timer === undefined ? run() : again = true, end: () => clearTimeout(timer) };
};

/**
 * Makes the page's content: `element`, `end()`. @param options `about`: the schemas of the tunable fields. `refused`: called when the token
 * is not accepted. `theme`: an element for the header.
 */
export const session = (token, { about, refused, theme }) => {
  const over = new AbortController(), api = new Api({ token, refused }), ledger = new Ledger(LINES), rollouts = new Rollouts(api);
  const head = header(),
    curves = curvesView(),
    bimodality = bimodalityView(),
    newest = newestAnswer(),
    notes = notesView(),
    docs = documentation(api);
  let status, warmSteps, link = "connecting";
  const progress = () => progressOf(status, ledger, { warmSteps });
  const steering = controls(api, { onStatus: (next) => onStatus(next) }), form = tuning(api, { about });
  const talk = chat(api, { stepNow: () => status?.step ?? "–" });
  const answers = answersView(rollouts, {
    ask(question) {
      location.hash = "#chat";
      pages.open("chat");
      talk.take(question);
    },
  });

  const note = (words, kind) => {
    notes.add(words, kind);
    sections.notes.hidden = false;
  };
  const failed = (error) => !over.signal.aborted && note(error.message, "fault");
  /** Updates what depends on the step and the state. */
  const refresh = () => {
    const now = progress();
    head.show(now, ledger);
    steering.update(now);
    talk.open(
      link === "live" && ANSWERS.includes(now?.state),
      now && `The policy answers only during a run; the run is ${stateWords(now)}.`,
    );
  };
  /** Shows only headings that have content. */
  let hasCurves = false;
  const headings = () => {
    sections.newest.hidden = newest.isEmpty();
    sections.curves.hidden = !hasCurves;
    sections.anchors.hidden = bimodality.isEmpty();
    nothing.hidden = hasCurves || !newest.isEmpty();
    nothing.textContent = status ? NOTHING[status.state] ?? "No step has been logged yet." : "Connecting to the run…";
  };
  const paint = spaced(() => {
    refresh();
    if (document.hidden || pages.shown() !== "run") return;
    bimodality.numbers(ledger);
    sections.curves.hidden = false; // a chart's width is that of its visible box
    hasCurves = curves.draw(ledger);
    headings();
  }, DRAW);
  const histogram = spaced(() => {
    if (document.hidden || pages.shown() !== "run") return;
    rollouts.newest().then(({ samples }) => {
      sections.anchors.hidden = sections.newest.hidden = false;
      newest.samples(samples);
      bimodality.samples(samples);
      headings();
    }).catch(failed);
  }, HISTOGRAM);
  const opened = {
    run: () => (paint.ask(), histogram.ask()),
    answers: () => answers.show(),
    settings: () => form.load().catch(failed),
    api: () => docs.load(),
  };
  const heading = (title, ...children) => el("section", {}, el("h2", { textContent: title }), ...children);
  const nothing = el("p", { className: "note", role: "status", textContent: "Connecting to the run…" });
  const sections = {
    newest: heading("Where the newest answer attends", newest.element),
    curves: heading("Curves", curves.element),
    anchors: heading("Anchors and other tokens", bimodality.element),
    notes: heading("Events", notes.element),
  };
  for (const section of Object.values(sections)) section.hidden = true;
  const pages = views({
    run: {
      title: "Run",
      nodes: [
        nothing,
        ...Object.values(sections),
      ],
    },
    answers: { title: "Answers", nodes: [heading("Answers", answers.element)] },
    chat: { title: "Chat", nodes: [heading("Ask the policy", talk.element)] },
    settings: { title: "Settings", nodes: [heading("Settings that can be changed during the run", form.element)] },
    api: { title: "API", nodes: [heading("HTTP endpoint", docs.element)] },
  }, { first: location.pathname === "/docs" ? "api" : "run", signal: over.signal, onOpen: (name) => opened[name]?.() });

  const reload = async () => {
    ledger.clear();
    curves.clear();
    rollouts.forget();
    answers.clear();
    newest.clear();
    try {
      const [{ lines }, { config }] = await Promise.all([
        api.json(`/v1/metrics?since=-1&limit=${LINES}`, { signal: over.signal }),
        api.json("/v1/config", { signal: over.signal }),
      ]);
      for (const line of lines) ledger.add(line);
      warmSteps = config.sft?.steps;
      opened[pages.shown()]?.();
      paint.ask();
    } catch (error) {
      failed(error);
    }
  };
  const onStatus = (next) => {
    const before = status?.state;
    status = next;
    refresh();
    if (before === next.state) return;
    paint.ask();
    note(`The run is ${stateWords({ state: next.state })}.`, next.state === "failed" ? "fault" : "");
    // A resumed run has dropped the lines after its checkpoint.
    if (RESTS.includes(before) && !RESTS.includes(next.state) || before === "starting") reload();
  };
  const HANDLERS = {
    status: onStatus,
    metrics(line) {
      ledger.add(line);
      // The status is sent when the state changes, not at each step.
      if (status && line.phase !== "sft" && line.step > status.step) onStatus({ ...status, step: line.step });
      paint.ask();
    },
    rollouts({ step }) {
      rollouts.forget();
      answers.arrived(step, pages.shown() === "answers" && !document.hidden);
      histogram.ask();
    },
    checkpoint: ({ step }) => note(`Checkpoint of step ${step}.`),
    tuned(change) {
      form.tuned(change);
      note(tuningWords(change));
    },
    note: ({ text }) => note(text),
    reset: reload,
  };
  const ready = reload();
  document.addEventListener("visibilitychange", () => !document.hidden && opened[pages.shown()]?.(), { signal: over.signal });
  follow((last, signal) => api.open("/v1/events", { signal, headers: last === undefined ? {} : { "last-event-id": last } }), {
    signal: over.signal,
    onState(word, seconds) {
      link = word;
      head.connection(word, seconds);
      steering.connection(word);
      refresh();
    },
    onEvent: ({ event, data }) => HANDLERS[event]?.(JSON.parse(data)),
  });
  pages.open();
  return {
    ready,
    element: el("div", {}, el("header", {}, head.element, steering.element, el("div", { className: "bar" }, pages.nav, theme)), pages.main),
    end() {
      over.abort();
      talk.end();
      curves.clear();
      bimodality.end();
      paint.end();
      histogram.end();
    },
  };
};
