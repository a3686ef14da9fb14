/**
 * Uses of the client's and the hooks' types that must pass, and some that must not: `tsc --noEmit` reads it.
 *
 * Belongs here: types. Not here: behaviour (test_hooks.py).
 */

import * as React from "react";
import { ApiError, LearningClient } from "../../../learning_pipelines/web/static/client/learning.js";
import type { FeedbackRecord, Run } from "../../../learning_pipelines/web/static/client/learning.js";
import { createHooks } from "../../../learning_pipelines/web/static/client/react.js";

const client = new LearningClient({ baseUrl: "https://learning.example", token: async () => "token" });
const hooks = createHooks(React, client);

export async function sent(): Promise<string> {
  const said: FeedbackRecord = { execution_id: "run-1", feedback_type: "correction", correction_text: "On the 12th." };
  const stored = await client.submitFeedback(said, { signal: new AbortController().signal });
  // @ts-expect-error There is no such kind of feedback.
  await client.submitFeedback({ execution_id: "run-1", feedback_type: "applause" });
  // @ts-expect-error The answer has no such key.
  stored.applause;
  const { queue, total } = await client.annotationQueue({ agent: "desk", status: "pending" });
  const run: Run = await client.followRun("run", (now) => now.progress.toFixed(2), { every: 500 });
  return `${stored.feedback_id} ${queue[0]?.input_text} ${total} ${run.outcome ?? ""}`;
}

export function Component(): string {
  const { data, error, loading, refetch } = hooks.useFeedbackStats("desk", { days: 30 });
  const { mutate, pending } = hooks.useSubmitAnnotation();
  const { run, progress } = hooks.useOptimizePrompt();
  void mutate({ example_id: "ex-1", approved: true });
  // @ts-expect-error A verdict names its example.
  void mutate({ approved: true });
  void refetch();
  const refused = error instanceof ApiError ? error.field : null;
  return `${data?.avg_rating?.toFixed(1)} ${refused} ${loading} ${pending} ${run?.status} ${progress}`;
}
