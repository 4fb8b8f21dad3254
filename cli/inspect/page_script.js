import { mostOf } from "../../control/page/answers.js";
import { el } from "../../control/page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../../control/page/picture.js";
import { chatProfileOf } from "../../control/page/profile.js";
import { answerWithProfile } from "../../control/page/answer_with_profile.js";

const { title, prompt, cut, image, looks, ...sample } = JSON.parse(document.getElementById("data").textContent);
const most = mostOf([sample]), picture = overlaidPicture(image, { alt: "The picture that was asked about" });
const tokenFacts = el("p", {
  className: "token-facts",
  ariaLive: "polite",
  textContent: "Point at a token for its numbers and where it attends, or move through the answer with Tab and the arrow keys.",
});
const { element, rest } = answerWithProfile({ ...sample, profile: chatProfileOf(looks) }, {
  most,
  clusters: true,
  pictures: [picture],
  tell: (words) => tokenFacts.textContent = words,
});
const anchors = sample.anchor.filter(Boolean).length;
document.title = title;
document.getElementById("inspection").append(
  el("h1", { textContent: title }),
  heatmapLegend(most, { clusters: true }),
  heatmapSwitch(),
  el(
    "article",
    { className: "prompt large" },
    picture.figure,
    el(
      "div",
      {},
      el("p", { className: "question", textContent: prompt }),
      element,
      el("p", { className: "note", textContent: `${sample.tokens.length} tokens${cut ? ", cut off there" : ""}; ${anchors} anchors.` }),
    ),
  ),
  tokenFacts,
);
rest();
