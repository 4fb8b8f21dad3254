/** The view for chatting with the policy during training. */
import { mostOf } from "../page/answers.js";
import { el } from "../page/elements.js";
import { listOf } from "../page/fields.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../page/picture.js";
import { chatProfileOf } from "../page/profile.js";
import { answerWithProfile } from "../page/answer_with_profile.js";
import { eventsOf } from "./event_stream.js";

const MOST = 20; // the number of questions that stay on the page

/** Makes a message in the endpoint's format. */
export const messageOf = ({ text, image }) => ({
  role: "user",
  content: image === undefined ? text : [{ type: "image_url", "image_url": { url: image } }, { type: "text", text }],
});

/** Collects the chunks of one streamed answer. */
export class Gathered {
  text = "";
  tokens = [];
  logprobs = [];
  finish;
  step;
  connectivity;

  /** @param chunk A parsed chunk of the stream. @throws {Error} for an error that the stream reports. */
  take(chunk) {
    if (chunk.error) throw new Error(chunk.error.message);
    this.step = chunk["system_fingerprint"]?.match(/^step-(\d+)$/)?.[1] ?? this.step;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    this.text += choice.delta?.content ?? "";
    for (const { token, logprob } of listOf(choice.logprobs?.content)) {
      this.tokens.push(token);
      this.logprobs.push(logprob);
    }
    this.finish = choice["finish_reason"] ?? this.finish;
    this.connectivity = choice.connectivity ?? this.connectivity;
  }

  /** Returns the answer in the form of a step's sample; undefined if tokens and connectivity do not match. */
  sample() {
    const { tokens, logprobs, connectivity } = this, n = tokens.length;
    if (n === 0 || listOf(connectivity?.values).length !== n) return undefined;
    return {
      tokens,
      anchor: tokens.map((_, i) => Boolean(connectivity.anchors?.[i])),
      numbers: Object.fromEntries(
        Object.entries({
          connectivity: connectivity.values,
          cluster: connectivity.clusters,
          weight: connectivity.weights,
          "log-prob": logprobs,
        })
          .filter(([, values]) => listOf(values).length === n),
      ),
      profile: chatProfileOf(connectivity),
    };
  }
}

const asDataUrl = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Error("The picture cannot be read.")));
    reader.readAsDataURL(file);
  });

const labelled = (words, input) => el("label", { className: "labelled" }, el("span", { textContent: words }), input);

/**
 * The chat: `element`, `take({ text, image })` puts a question into the box, `open(now, words)`. @param options `stepNow` returns the run's
 * step.
 */
export const chat = (api, { stepNow }) => {
  const log = el("div", { className: "talk" }), tokenFacts = el("p", { className: "token-facts", ariaLive: "polite" });
  const text = el("textarea", { rows: 3, required: true });
  const file = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp" });
  const temperature = el("input", { type: "number", min: "0", max: "2", step: "0.1", value: "1" });
  const tokens = el("input", { type: "number", min: "1", max: "4096", step: "1", value: "256" });
  const keep = el("input", { type: "checkbox" });
  const send = el("button", { type: "submit", textContent: "Ask", disabled: true }),
    stop = el("button", { type: "button", textContent: "Break off", disabled: true });
  let open = false, closed;
  const gate = () => {
    send.disabled = !open || asking !== undefined;
    send.title = open ? "" : closed ?? "";
    why.textContent = open ? "" : closed ?? "";
  };
  const why = el("span", { className: "note" });
  const preview = el("div", { className: "preview" }), statusLine = el("p", { className: "said", role: "status" });
  let image, asking, before = [], pictures = [];
  const choose = (url) => {
    image = url;
    if (url === undefined) return preview.replaceChildren();
    const away = el("button", { type: "button", textContent: "Without the picture" });
    away.addEventListener("click", () => {
      file.value = "";
      choose(undefined);
    });
    preview.replaceChildren(el("img", { src: url, alt: "The picture of the question" }), away);
  };
  file.addEventListener("change", () => {
    const [chosen] = file.files;
    if (!chosen) return choose(undefined);
    asDataUrl(chosen).then(choose, (error) => statusLine.textContent = error.message);
  });

  const settle = (gathered, { answer, note }) => {
    const sample = gathered.sample(), step = gathered.step ?? stepNow();
    const cut = gathered.finish && gathered.finish !== "stop" ? ` · cut off (${gathered.finish})` : "";
    note.textContent = `The policy after step ${step}${cut}`;
    if (!sample) return;
    const most = mostOf([sample]), own = pictures;
    const { element, rest } = answerWithProfile({ ...sample, number: undefined }, {
      most,
      pictures: own,
      tell: (words) => tokenFacts.textContent = words,
    });
    answer.replaceWith(element);
    element.after(heatmapLegend(most, { pictures: own.length > 0 }), ...own.length > 0 ? [heatmapSwitch()] : []);
    rest();
  };
  const ask = async (question) => {
    if (!keep.checked) [before, pictures] = [[], []];
    const messages = [...before, messageOf(question)];
    const picture = question.image && overlaidPicture(question.image, { alt: "The picture that was sent", visual: pictures.length });
    if (picture) pictures = [...pictures, picture];
    const answer = el("p", { className: "answer" }), note = el("p", { className: "note", textContent: "waiting for the current step…" });
    const words = el("div", {}, el("p", { className: "question", textContent: question.text }), note, answer);
    log.prepend(el("article", { className: picture ? "prompt" : "prompt bare" }, picture?.figure, words));
    if (log.children.length > MOST) log.lastElementChild.remove();
    const own = asking = new AbortController();
    const gathered = new Gathered();
    [stop.disabled, statusLine.textContent] = [false, ""];
    gate();
    try {
      const body = {
        messages,
        temperature: Number(temperature.value),
        "max_tokens": Number(tokens.value),
        stream: true,
        logprobs: true,
        connectivity: true,
      };
      const response = await api.open("/v1/chat/completions", { method: "POST", body, signal: own.signal });
      for await (const { data } of eventsOf(response)) {
        if (data === "[DONE]") break;
        gathered.take(JSON.parse(data));
        answer.textContent = gathered.text;
        note.textContent = "answering…";
      }
      settle(gathered, { answer, note });
      before = [...messages, { role: "assistant", content: gathered.text }];
    } catch (error) {
      note.className = "note fault";
      note.textContent = own.signal.aborted ? "Cancelled." : error.message;
    } finally {
      [asking, stop.disabled] = [undefined, true];
      gate();
    }
  };
  const form = el(
    "form",
    { className: "ask" },
    labelled("Question", text),
    labelled("Picture", file),
    preview,
    el(
      "div",
      { className: "row" },
      labelled("Temperature", temperature),
      labelled("Maximum tokens", tokens),
      el("label", { className: "check" }, keep, " continue the conversation"),
    ),
    el("div", { className: "row" }, send, stop, why),
    statusLine,
  );
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!send.disabled) ask({ text: text.value, image });
  });
  stop.addEventListener("click", () => asking?.abort());
  return {
    element: el("div", {}, form, log, tokenFacts),
    take(question) {
      text.value = question.text;
      file.value = "";
      choose(question.image);
      text.focus();
    },
    /** Sets whether the policy can answer now, and the words to show if it cannot. */
    open(now, words) {
      [open, closed] = [now, words];
      gate();
    },
    end: () => asking?.abort(),
  };
};
