/** What <feedback-collector> says; strings/ has the same keys in other languages. */

export const ENGLISH = {
  question: "Was this answer helpful?", up: "Helpful", down: "Not helpful",
  rating: "Your rating", star: "{n} of 5 stars", details: "Rate in detail",
  accuracy: "Accuracy", helpfulness: "Helpfulness", clarity: "Clarity", completeness: "Completeness",
  issues: "What is wrong with it?", incorrect: "Incorrect", incomplete: "Incomplete", unclear: "Unclear", hallucination: "Made up",
  outdated: "Outdated",
  formatting: "Formatting", tone: "Tone", other: "Something else", comment: "Comment", send: "Send",
  correct: "Correct the answer", editor: "How it should read", changes: "Your changes", sendCorrection: "Send correction",
  reset: "Reset", takeBack: "Take back",
  saved: "Saved. Thank you!", takenBack: "Taken back.", thanks: "Thank you! This cannot be changed any more.",
  queued: "Not sent yet: the service is away. Kept on this device and sent by itself.",
  token: "Not sent yet: this page's permission has ended. Kept on this device; try to reload.",
  unkept: "Not sent yet: leave this page open.",
  full: "Not taken: too much waits to be sent.", failed: "Not accepted: {detail}", long: "Too long: at most {n} characters.",
  same: "Nothing to send: change the text first.", empty: "Nothing to send: say something first.",
  key: "An API key stands where a token belongs: nothing is sent.",
  approved: "Your {what} was reviewed and approved.", dataset: "Your {what} was used: it is part of the training data (version {n}).",
  prompt: "Your {what} was used: the prompt that answers now (version {n}) was learnt with it.", aCorrection: "correction", aFeedback: "feedback",
};

export async function stringsOf(language) {
  const code = language?.toLowerCase().split("-")[0];
  if (code !== "de" && code !== "ar") return ENGLISH;
  return { ...ENGLISH, ...(await import(`./strings/${code}.js`).catch(() => ({}))).default };
}

export const told = (text, values) => String(text).replace(/\{(\w+)\}/g, (all, name) => values?.[name] ?? all);
