/**
 * What <agent-output-card> says, in English, German and Arabic.
 *
 * Belongs here: texts of the card. Not here: those of the collector (feedback-strings.js, strings/).
 */

const TABLES = {
  en: { input: "Question", output: "Answer", sources: "Sources ({n})", version: "Version {n}", latency: "Answered in {n}",
    score: "Score {n}", agent: "Agent {n}" },
  de: { input: "Frage", output: "Antwort", sources: "Quellen ({n})", version: "Version {n}", latency: "Beantwortet in {n}",
    score: "Wert {n}", agent: "Agent {n}" },
  ar: { dir: "rtl", input: "السؤال", output: "الإجابة", sources: "المصادر ({n})", version: "الإصدار {n}", latency: "أُجيب خلال {n}",
    score: "الدرجة {n}", agent: "الوكيل {n}" },
};

/** The table of a language tag; English where there is none. */
export const cardStrings = (language) => TABLES[language?.toLowerCase().split("-")[0]] ?? TABLES.en;
