/**
 * The JavaScript client of the API: one class, no dependency, in browsers and in Node. Types: learning.d.ts.
 *
 * Belongs here: a named method per route; those of serving and operating are in operating.js. Not here: how a request is sent (transport.js), anything
 * that shows something (elements/, pages/), React (react.js).
 *
 * Every method takes as its last argument what `request` takes: { signal, timeout, retries, headers }.
 */

import { Operating } from "./operating.js";
import { newKey, segment, waited } from "./transport.js";

export { ApiError, segment } from "./transport.js";

const idempotent = (key, options) => ({ repeatable: true, ...options, headers: { "Idempotency-Key": key ?? newKey(), ...options?.headers } });

export class LearningClient extends Operating {
  // Feedback

  /** Stores one feedback. Repeated safely: by its feedback_id, else by a key made here. */
  submitFeedback(feedback, options) {
    const sent = feedback.feedback_id ? { repeatable: true, ...options } : idempotent(null, options);
    return this.request("POST", "/feedback", { ...sent, body: feedback });
  }

  /** Stores up to 10,000; each is answered for itself. Repeated only if each has a feedback_id. */
  submitFeedbackBatch(items, options) {
    return this.request("POST", "/feedback/batch", { repeatable: items.every((item) => item.feedback_id), ...options, body: { items } });
  }

  /** What the sender said about an execution and is in force, and what was learnt from it. */
  ownFeedback(executionId, options) {
    return this.request("GET", "/feedback/mine", { ...options, query: { execution_id: executionId } });
  }

  feedbackStatistics(agentId, { days } = {}, options) {
    return this.request("GET", `/feedback/stats/${segment(agentId)}`, { ...options, query: { days } });
  }

  commonIssues(agentId, { days, limit } = {}, options) {
    return this.request("GET", `/feedback/issues/${segment(agentId)}`, { ...options, query: { days, limit } });
  }

  // Executions, documents

  recordExecution(execution, options) {
    return this.request("POST", "/executions", { repeatable: true, ...options, body: execution });
  }

  recordExecutions(items, options) {
    return this.request("POST", "/executions/batch", { repeatable: true, ...options, body: { items } });
  }

  listExecutions(filters = {}, options) {
    return this.request("GET", "/executions", { ...options, query: filters });
  }

  getExecution(executionId, options) {
    return this.request("GET", `/executions/${segment(executionId)}`, options);
  }

  addDocument(document, options) {
    return this.request("POST", "/documents", { repeatable: true, ...options, body: document });
  }

  submitRetrievalFeedback(feedback, options) {
    return this.request("POST", "/retrieval-feedback", { ...idempotent(null, options), body: feedback });
  }

  // Review

  annotationQueue(filters = {}, options) {
    return this.request("GET", "/annotations/queue", { ...options, query: filters });
  }

  /** Leases the most valuable items that no other expert has. Never repeated by itself: another answer is another lease. */
  nextAnnotations(filters = {}, options) {
    return this.request("POST", "/annotations/queue/next", { ...options, body: filters });
  }

  leaseExample(exampleId, options) {
    return this.request("POST", `/annotations/queue/${segment(exampleId)}/lease`, { repeatable: true, ...options });
  }

  releaseExample(exampleId, options) {
    return this.request("POST", `/annotations/queue/${segment(exampleId)}/release`, { repeatable: true, ...options });
  }

  skipExample(exampleId, options) {
    return this.request("POST", `/annotations/queue/${segment(exampleId)}/skip`, options);
  }

  exampleHints(exampleId, options) {
    return this.request("GET", `/annotations/queue/${segment(exampleId)}/hints`, options);
  }

  getExample(exampleId, options) {
    return this.request("GET", `/annotations/queue/${segment(exampleId)}`, options);
  }

  annotationProgress({ days } = {}, options) {
    return this.request("GET", "/annotations/progress", { ...options, query: { days } });
  }

  reviewSettings(agent, options) {
    return this.request("GET", "/annotations/settings", { ...options, query: { agent } });
  }

  changeReviewSettings(agent, settings, options) {
    return this.request("PUT", "/annotations/settings", { repeatable: true, ...options, query: { agent }, body: settings });
  }

  submitAnnotation(annotation, options) {
    return this.request("POST", "/annotations", { ...options, body: annotation });
  }

  submitAnnotations(bulk, options) {
    return this.request("POST", "/annotations/bulk", { ...options, body: bulk });
  }

  undoAnnotations(undoId, options) {
    return this.request("POST", `/annotations/undo/${segment(undoId)}`, options);
  }

  verifyAnnotation(annotationId, options) {
    return this.request("POST", `/annotations/${segment(annotationId)}/verify`, options);
  }

  listAnnotations(exampleId, options) {
    return this.request("GET", "/annotations", { ...options, query: { example_id: exampleId } });
  }

  /** Examples with nearly the same input that contradict each other. */
  listConflicts(filters = {}, options) {
    return this.request("GET", "/conflicts", { ...options, query: filters });
  }

  /** Says that both examples of a conflict are right. */
  dismissConflict(dismissal, options) {
    return this.request("POST", "/conflicts/dismiss", { ...options, body: dismissal });
  }

  // Overview

  /** Counts of the organization. */
  statistics(options) {
    return this.request("GET", "/stats", options);
  }

  /** What the page Dashboard shows, of one agent or of all. */
  dashboard({ agent, days } = {}, options) {
    return this.request("GET", "/dashboard", { ...options, query: { agent, days } });
  }

  listAgents(options) {
    return this.request("GET", "/agents", options);
  }

  listDatasets(agentId, options) {
    return this.request("GET", `/datasets/${segment(agentId)}`, options);
  }

  /** `week` as 2026-W47. */
  weeklyReport(week, options) {
    return this.request("GET", `/reports/${segment(week)}`, options);
  }

  listReports({ limit, before } = {}, options) {
    return this.request("GET", "/reports", { ...options, query: { limit, before } });
  }

  // Learning

  submitDemonstration(demonstration, options) {
    const sent = demonstration.demonstration_id ? { repeatable: true, ...options } : idempotent(null, options);
    return this.request("POST", "/demonstrations", { ...sent, body: demonstration });
  }

  optimizePrompt(optimization, options) {
    return this.request("POST", "/optimize-prompt", { ...options, body: optimization });
  }

  listRuns(filters = {}, options) {
    return this.request("GET", "/runs", { ...options, query: filters });
  }

  getRun(runId, options) {
    return this.request("GET", `/runs/${segment(runId)}`, options);
  }

  /** Follows a run until it has ended; `progress` gets every state of it. */
  async followRun(runId, progress = () => {}, { every = 2000, ...options } = {}) {
    for (;;) {
      const run = await this.getRun(runId, { retries: 5, ...options });
      progress(run);
      if (["completed", "failed", "cancelled"].includes(run.status)) return run;
      await waited(every, options.signal);
    }
  }

  /** Attempts to learn something, with what they measured and cost. `run_id`: only of these runs of Dagster. */
  listTrainingRuns(filters = {}, options) {
    return this.request("GET", "/training-runs", { ...options, query: filters });
  }

  getTrainingRun(trainingRunId, options) {
    return this.request("GET", `/training-runs/${segment(trainingRunId)}`, options);
  }

  listProposals({ state, agent } = {}, options) {
    return this.request("GET", "/proposals", { ...options, query: { state, agent } });
  }

  getProposal(proposalId, options) {
    return this.request("GET", `/proposals/${segment(proposalId)}`, options);
  }

  reviewProposal(proposalId, review, options) {
    return this.request("POST", `/proposals/${segment(proposalId)}/review`, { ...options, body: review });
  }

  rollback(agentId, given = {}, options) {
    return this.request("POST", `/agents/${segment(agentId)}/rollback`, { ...options, body: given });
  }

  disableLearning(agentId, options) {
    return this.request("POST", `/agents/${segment(agentId)}/disable`, { repeatable: true, ...options });
  }

  enableLearning(agentId, options) {
    return this.request("POST", `/agents/${segment(agentId)}/enable`, { repeatable: true, ...options });
  }
}
