import ANSWERS from "../../control/page/answers.js" with { type: "text" };
import ELEMENTS from "../../control/page/elements.js" with { type: "text" };
import FIELDS from "../../control/page/fields.js" with { type: "text" };
import HEATMAP from "../../control/page/heatmap.js" with { type: "text" };
import PICTURE from "../../control/page/picture.js" with { type: "text" };
import PROFILE from "../../control/page/profile.js" with { type: "text" };
import ANSWER_WITH_PROFILE from "../../control/page/answer_with_profile.js" with { type: "text" };
import STYLE from "../../control/page/style.css" with { type: "text" };
import SCRIPT from "./page_script.js" with { type: "text" };
import { scriptOf, sealedPage } from "../../control/page/document.ts";
import type { Inspection } from "./inspection.ts";

/** The page's scripts. Each comes after those that it needs while it loads. */
const MODULES = [ELEMENTS, FIELDS, ANSWERS, HEATMAP, PICTURE, PROFILE, ANSWER_WITH_PROFILE, SCRIPT];

/**
 * Makes a page in a single file. It shows the picture and the answer's tokens with their connectivity and clusters. Over the picture it
 * shows where the token under the pointer attends, or else the anchors.
 *
 * @param png The picture.
 * @param title The name of the model.
 */
export function inspectionPage(inspection: Inspection, { png, title }: { png: Uint8Array; title: string }): string {
  const { prompt, picture: { width, height }, regions, tokens, cut } = inspection;
  return sealedPage({
    title: "An answer and its anchors",
    styles: [STYLE],
    body: `<noscript>The page is drawn by a script inside this file.</noscript>\n<main id="inspection"></main>`,
    data: {
      title,
      prompt,
      cut,
      image: `data:image/png;base64,${png.toBase64()}`,
      tokens: tokens.map(({ text }) => text),
      anchor: tokens.map(({ anchor }) => anchor),
      special: tokens.map(({ special }) => special),
      numbers: {
        connectivity: tokens.map(({ connectivity }) => connectivity),
        cluster: tokens.map(({ cluster }) => cluster),
        weight: tokens.map(({ weight }) => weight),
      },
      looks: {
        regions: regions.map((box) => ({
          visual: 0,
          left: box.left / width,
          top: box.top / height,
          width: box.width / width,
          height: box.height / height,
        })),
        profiles: tokens.map(({ profile }) => profile),
      },
    },
    scripts: [scriptOf(MODULES)],
  });
}
