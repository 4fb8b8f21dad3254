/** The newest answer with its anchors, beside its picture: what AT-RL sees. */
import { mostOf, sampleCard } from "../page/answers.js";
import { el, show } from "../page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../page/picture.js";
import { profileOf } from "../page/profile.js";
import { saidWithProfile } from "../page/said.js";
import { stepSamples } from "../page/samples.js";

const HINT = "Point at a token, tap it, or move through the answer with Tab and the arrow keys.";

/** The answer: `element`, `samples(lines)`, `isEmpty()`. What is being looked at stays. */
export const newestAnswer = () => {
  const box = el("div"), key = el("div"), look = el("p", { className: "look own", ariaLive: "polite" });
  let shown;
  const held = () => box.querySelector(".token:hover, .token:focus") !== null;
  const draw = (lines) => {
    const { step, prompts } = stepSamples(lines, (line) => ({ profile: profileOf(line) })),
      most = mostOf(prompts.flatMap(({ samples }) => samples));
    const { id, text, truth, image, samples: [sample] } = prompts.find((one) => one.image !== undefined && one.samples[0].profile) ??
      prompts[0];
    const picture = image && overlaidPicture(image, { alt: `The picture of ${id}` });
    const { element, rest } = saidWithProfile(sample, {
      most,
      pictures: picture ? [picture] : [],
      tell: (words) => look.textContent = words,
    });
    const all = el("a", { href: "#answers", textContent: `All answers of step ${show(step)}` });
    key.replaceChildren(heatmapLegend(most, { pictures: picture !== undefined }));
    box.replaceChildren(
      el(
        "article",
        { className: picture ? "prompt" : "prompt bare" },
        picture?.figure,
        el(
          "div",
          {},
          el("p", { className: "question", textContent: text }),
          sampleCard(sample, { truth, said: element }),
          look,
          el("p", {}, all),
        ),
      ),
    );
    look.textContent = HINT;
    rest();
  };
  return {
    element: el("div", {}, key, heatmapSwitch(), box),
    isEmpty: () => shown === undefined,
    samples(lines) {
      if (lines.length === 0 || shown === lines || held()) return;
      shown = lines;
      draw(lines);
    },
    clear() {
      shown = undefined;
      box.replaceChildren();
    },
  };
};
