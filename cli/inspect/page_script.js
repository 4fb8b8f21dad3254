import { mostOf } from "../../control/page/answers.js";
import { el } from "../../control/page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../../control/page/picture.js";
import { chatProfileOf } from "../../control/page/profile.js";
import { saidWithProfile } from "../../control/page/said.js";

const { title, prompt, cut, image, looks, ...said } = JSON.parse(document.getElementById("data").textContent);
const most = mostOf([said]), picture = overlaidPicture(image, { alt: "The picture that was asked about" });
const look = el("p", {
  className: "look",
  ariaLive: "polite",
  textContent: "Point at a token for its numbers and its look, or move through the answer with Tab and the arrow keys.",
});
const { element, rest } = saidWithProfile({ ...said, profile: chatProfileOf(looks) }, {
  most,
  clusters: true,
  pictures: [picture],
  tell: (words) => look.textContent = words,
});
const anchors = said.anchor.filter(Boolean).length;
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
      el("p", { className: "note", textContent: `${said.tokens.length} tokens${cut ? ", cut off there" : ""}; ${anchors} anchors.` }),
    ),
  ),
  look,
);
rest();
