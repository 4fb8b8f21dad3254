import ANSWERS_VIEW from "./answers_view.js" with { type: "text" };
import API from "./api.js" with { type: "text" };
import BIMODALITY_VIEW from "./bimodality_view.js" with { type: "text" };
import CHAT from "./chat.js" with { type: "text" };
import CONTROLS from "./controls.js" with { type: "text" };
import CURVES_VIEW from "./curves_view.js" with { type: "text" };
import DOCUMENTATION from "./documentation.js" with { type: "text" };
import EVENT_STREAM from "./event_stream.js" with { type: "text" };
import HEADER from "./header.js" with { type: "text" };
import NEWEST_ANSWER from "./newest_answer.js" with { type: "text" };
import NOTES_VIEW from "./notes_view.js" with { type: "text" };
import ROLLOUTS from "./rollouts.js" with { type: "text" };
import SESSION from "./session.js" with { type: "text" };
import RUN_PROGRESS from "./run_progress.js" with { type: "text" };
import START from "./start.js" with { type: "text" };
import THEME from "./theme.js" with { type: "text" };
import TOKEN from "./token.js" with { type: "text" };
import TUNING from "./tuning.js" with { type: "text" };
import VIEWS from "./views.js" with { type: "text" };
import ANSWERS from "../page/answers.js" with { type: "text" };
import CURVES from "../page/curves.js" with { type: "text" };
import DURATION from "../page/duration.js" with { type: "text" };
import ELEMENTS from "../page/elements.js" with { type: "text" };
import FIELDS from "../page/fields.js" with { type: "text" };
import HISTOGRAM from "../page/histogram.js" with { type: "text" };
import LEDGER from "../page/ledger.js" with { type: "text" };
import HEATMAP from "../page/heatmap.js" with { type: "text" };
import PICTURE from "../page/picture.js" with { type: "text" };
import PLOTS from "../page/plots.js" with { type: "text" };
import PROFILE from "../page/profile.js" with { type: "text" };
import ANSWER_WITH_PROFILE from "../page/answer_with_profile.js" with { type: "text" };
import SAMPLES from "../page/samples.js" with { type: "text" };
import WORDS from "../page/words.js" with { type: "text" };

/** The texts of the page's modules. Each comes after those that it needs while it loads. */
export const MODULES: readonly string[] = [
  ELEMENTS,
  FIELDS,
  DURATION,
  LEDGER,
  CURVES,
  HISTOGRAM,
  SAMPLES,
  WORDS,
  PLOTS,
  ANSWERS,
  HEATMAP,
  PICTURE,
  PROFILE,
  ANSWER_WITH_PROFILE,
  API,
  EVENT_STREAM,
  RUN_PROGRESS,
  HEADER,
  CONTROLS,
  TUNING,
  CURVES_VIEW,
  BIMODALITY_VIEW,
  ANSWERS_VIEW,
  ROLLOUTS,
  NEWEST_ANSWER,
  NOTES_VIEW,
  CHAT,
  DOCUMENTATION,
  TOKEN,
  THEME,
  VIEWS,
  SESSION,
  START,
];
