/** The view of the newest answer with its anchors and its picture. */
import { mostOf, sampleCard } from "../page/answers.js";
import { el, show } from "../page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../page/picture.js";
import { profileOf } from "../page/profile.js";
import { answerWithProfile } from "../page/answer_with_profile.js";
import { stepSamples } from "../page/samples.js";

const HINT = "Point at a token, tap it, or move through the answer with Tab and the arrow keys.";

/** The newest answer: `element`, `samples(lines)`, `isEmpty()`. It does not change while the user points at it. */
export const newestAnswer = () => {
  const box = el("div"), key = el("div"), tokenFacts = el("p", { className: "token-facts own", ariaLive: "polite" });
  let shown;
  const held = () => box.querySelector(".token:hover, .token:focus") !== null;
  const draw = (lines) => {
    const { step, prompts } = stepSamples(lines, (line) => ({ profile: profileOf(line) })),
      most = mostOf(prompts.flatMap(({ samples }) => samples));
    const { id, text, truth, image, samples: [sample] } = prompts.find((one) => one.image !== undefined && one.samples[0].profile) ??
      prompts[0];
    const picture = image && overlaidPicture(image, { alt: `The picture of ${id}` });
    const { element, rest } = answerWithProfile(sample, {
      most,
      pictures: picture ? [picture] : [],
      tell: (words) => tokenFacts.textContent = words,
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
          sampleCard(sample, { truth, body: element }),
          tokenFacts,
          el("p", {}, all),
        ),
      ),
    );
    tokenFacts.textContent = HINT;
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
