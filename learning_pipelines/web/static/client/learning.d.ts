/**
 * Types of the JavaScript client.
 *
 * Belongs here: methods. Not here: bodies and answers (schema.d.ts, made from the OpenAPI document).
 */

import type * as schema from "./schema.js";

export type * from "./schema.js";

/** A refusal, as the service says it (RFC 9457). `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(status: number, title: string, detail?: string, field?: string | null, retryAfter?: number | null);
  readonly status: number;
  readonly title: string;
  readonly detail: string | undefined;
  /** The key at fault in body, path or query. */
  readonly field: string | null;
  /** Seconds. */
  readonly retryAfter: number | null;
  /** Whether the same request may succeed later. */
  get transient(): boolean;
}

/** A part of a path, encoded. */
export function segment(value: unknown): string;

export interface ClientOptions {
  /** Address of the service; default: where this module came from. */
  baseUrl?: string;
  /** Bearer token, or what gives a fresh one before each request. */
  token?: string | (() => string | Promise<string>);
  /** Of a browser session (cookie), instead of a token. */
  csrfToken?: string;
  fetch?: typeof fetch;
  /** Milliseconds that one attempt may take: 30,000. */
  timeout?: number;
  /** How often a request that may be repeated is repeated: 2. */
  retries?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
  timeout?: number;
  retries?: number;
  headers?: Record<string, string>;
  /** Whether sending it twice does it once. The methods know. */
  repeatable?: boolean;
}

export interface RequestOptions extends CallOptions {
  /** null, undefined and "" are left out; arrays are repeated. */
  query?: object;
  body?: unknown;
}

export interface Days {
  days?: number;
}
export interface ExecutionFilters {
  agent?: string;
  user?: string;
  session_id?: string;
  environment?: string;
  tag?: string;
  prompt_version?: string;
  with_feedback?: boolean;
  rating_max?: number;
  issue?: string;
  corrected?: boolean;
  days?: number;
  after?: string;
  before?: string;
  excerpt?: number;
  limit?: number;
  cursor?: string;
  archived?: boolean;
}
export interface QueueFilters {
  domain?: string;
  agent?: string;
  type?: NonNullable<schema.NextItems["type"]>;
  status?: NonNullable<schema.NextItems["status"]>;
  limit?: number;
  user?: string;
}
export interface PromptQuery {
  unit?: string;
  input?: string;
  label?: string;
  exposure?: boolean;
  etag?: string;
}
export interface NextActionQuery {
  task?: string;
  task_type?: string;
  state?: unknown;
  history?: unknown;
  action?: string[];
  k?: number;
  unit?: string;
  exposure?: boolean;
}

export class LearningClient {
  constructor(options?: ClientOptions);
  baseUrl: string;
  token: ClientOptions["token"];
  csrfToken: string | undefined;
  timeout: number;
  retries: number;

  /** One request below /api/learning; the answer's JSON (null for none, and for 304). Raises ApiError, and what `signal` was aborted with. */
  request<T = unknown>(method: string, path: string, options?: RequestOptions): Promise<T>;

  /** Stores one feedback. Repeated safely: by its feedback_id, else by a key made here. */
  submitFeedback(feedback: schema.FeedbackRecord, options?: CallOptions): Promise<schema.FeedbackStored>;
  /** Stores up to 10,000; each is answered for itself. Repeated only if each has a feedback_id. */
  submitFeedbackBatch(items: schema.FeedbackRecord[], options?: CallOptions): Promise<schema.BatchAnswer>;
  /** What the sender said about an execution and is in force, and what was learnt from it. */
  ownFeedback(executionId?: string, options?: CallOptions): Promise<schema.OwnFeedback>;
  feedbackStatistics(agentId: string, period?: Days, options?: CallOptions): Promise<schema.FeedbackStatistics>;
  commonIssues(agentId: string, asked?: Days & { limit?: number }, options?: CallOptions): Promise<schema.Issues>;
  recordExecution(execution: schema.ExecutionRecord, options?: CallOptions): Promise<schema.Stored>;
  recordExecutions(items: schema.ExecutionRecord[], options?: CallOptions): Promise<schema.BatchAnswer>;
  listExecutions(filters?: ExecutionFilters, options?: CallOptions): Promise<schema.Executions>;
  getExecution(executionId: string, options?: CallOptions): Promise<schema.ExecutionWithFeedback>;
  addDocument(document: schema.DocumentRecord, options?: CallOptions): Promise<schema.Stored>;
  submitRetrievalFeedback(feedback: schema.RetrievalFeedbackRecord, options?: CallOptions): Promise<schema.Stored>;
  annotationQueue(filters?: QueueFilters, options?: CallOptions): Promise<schema.Queue>;
  /** Leases the most valuable items that no other expert has. Never repeated by itself: another answer is another lease. */
  nextAnnotations(filters?: QueueFilters, options?: CallOptions): Promise<schema.Queue>;
  leaseExample(exampleId: string, options?: CallOptions): Promise<schema.Leased>;
  releaseExample(exampleId: string, options?: CallOptions): Promise<schema.Leased>;
  skipExample(exampleId: string, options?: CallOptions): Promise<schema.Leased>;
  exampleHints(exampleId: string, options?: CallOptions): Promise<schema.Hints>;
  getExample(exampleId: string, options?: CallOptions): Promise<schema.QueueItem>;
  annotationProgress(period?: Days, options?: CallOptions): Promise<schema.Progress>;
  reviewSettings(agent: string, options?: CallOptions): Promise<schema.Settings>;
  changeReviewSettings(agent: string, settings: schema.Settings, options?: CallOptions): Promise<schema.Settings>;
  submitAnnotation(annotation: schema.ReviewBody, options?: CallOptions): Promise<schema.AnnotationStored>;
  submitAnnotations(bulk: schema.BulkBody, options?: CallOptions): Promise<schema.BulkStored>;
  undoAnnotations(undoId: string, options?: CallOptions): Promise<schema.Undone>;
  verifyAnnotation(annotationId: string, options?: CallOptions): Promise<schema.Annotation>;
  listAnnotations(exampleId: string, options?: CallOptions): Promise<schema.Annotations>;
  /** Examples with nearly the same input that contradict each other. */
  listConflicts(filters?: { agent?: string; limit?: number; cursor?: string; user?: string }, options?: CallOptions): Promise<schema.Conflicts>;
  /** Says that both examples of a conflict are right. */
  dismissConflict(dismissal: schema.Dismissal, options?: CallOptions): Promise<schema.Dismissed>;
  /** Counts of the organization. */
  statistics(options?: CallOptions): Promise<schema.Overview>;
  /** What the page Dashboard shows, of one agent or of all. */
  dashboard(asked?: Days & { agent?: string }, options?: CallOptions): Promise<schema.Dashboard>;
  listAgents(options?: CallOptions): Promise<schema.Agents>;
  listDatasets(agentId: string, options?: CallOptions): Promise<schema.Datasets>;
  /** `week` as 2026-W47. */
  weeklyReport(week: string, options?: CallOptions): Promise<Record<string, unknown>>;
  listReports(asked?: { limit?: number; before?: string }, options?: CallOptions): Promise<schema.Reports>;
  submitDemonstration(demonstration: schema.DemonstrationRecord, options?: CallOptions): Promise<schema.DemonstrationStored>;
  optimizePrompt(optimization: schema.Optimization, options?: CallOptions): Promise<schema.Launched>;
  listRuns(filters?: { job?: string; limit?: number; cursor?: string }, options?: CallOptions): Promise<schema.Runs>;
  getRun(runId: string, options?: CallOptions): Promise<schema.Run>;
  /** Follows a run until it has ended; `progress` gets every state of it. */
  followRun(runId: string, progress?: (run: schema.Run) => void, options?: CallOptions & { every?: number }): Promise<schema.Run>;
  /** Attempts to learn something, with what they measured and cost. `run_id`: only of these runs of Dagster. */
  listTrainingRuns(filters?: { agent?: string; run_id?: string[]; limit?: number; cursor?: string }, options?: CallOptions): Promise<schema.TrainingRuns>;
  getTrainingRun(trainingRunId: string, options?: CallOptions): Promise<schema.WholeTrainingRun>;
  listProposals(filters?: { state?: string; agent?: string }, options?: CallOptions): Promise<schema.Proposals>;
  getProposal(proposalId: string, options?: CallOptions): Promise<schema.WholeProposal>;
  reviewProposal(proposalId: string, review: schema.Review, options?: CallOptions): Promise<schema.Changed>;
  rollback(agentId: string, given?: schema.Rollback, options?: CallOptions): Promise<schema.Changed>;
  disableLearning(agentId: string, options?: CallOptions): Promise<schema.Learning>;
  enableLearning(agentId: string, options?: CallOptions): Promise<schema.Learning>;
  /** What the agent is to be prompted with. With the `etag` of an answer: null while that is what serves. */
  servedPrompt(agentId: string, asked?: PromptQuery, options?: CallOptions): Promise<schema.ServedPrompt | null>;
  /** What serves the agent by kind, what a rollback would bring back, and which rollouts and experiments are under way. */
  serving(agentId: string, options?: CallOptions): Promise<schema.AgentServing>;
  listPromptVersions(agentId: string, options?: CallOptions): Promise<schema.ListedVersions>;
  getPromptVersion(agentId: string, version: string | number, options?: CallOptions): Promise<schema.WholeVersion>;
  writePrompt(agentId: string, prompt: schema.WrittenPrompt, options?: CallOptions): Promise<schema.PromptVersion>;
  moveLabel(agentId: string, label: string, target: schema.LabelTarget, options?: CallOptions): Promise<schema.MovedLabel>;
  search(q: string, asked?: { agent?: string; k?: number; unit?: string; exposure?: boolean }, options?: CallOptions): Promise<schema.SearchAnswer>;
  /** What an expert would do next. `history`: the actions so far; `state`: what the agent was given. */
  nextAction(agentId: string, asked?: NextActionQuery, options?: CallOptions): Promise<schema.NextAction>;
  playbooks(agentId: string, asked?: { version?: string | number; task_type?: string }, options?: CallOptions): Promise<schema.Playbooks>;
  listExperiments(filters?: { agent?: string; state?: string }, options?: CallOptions): Promise<schema.ShownExperiments>;
  getExperiment(experimentId: string, options?: CallOptions): Promise<schema.WholeExperiment>;
  createExperiment(experiment: schema.AskedExperiment, options?: CallOptions): Promise<schema.WholeExperiment>;
  startExperiment(experimentId: string, options?: CallOptions): Promise<schema.ChangedExperiment>;
  pauseExperiment(experimentId: string, options?: CallOptions): Promise<schema.ChangedExperiment>;
  resumeExperiment(experimentId: string, options?: CallOptions): Promise<schema.ChangedExperiment>;
  abortExperiment(experimentId: string, given?: schema.Aborted, options?: CallOptions): Promise<schema.ChangedExperiment>;
  weighExperiment(experimentId: string, weights: Record<string, number>, options?: CallOptions): Promise<schema.ChangedExperiment>;
  analyzeExperiment(experimentId: string, options?: CallOptions): Promise<schema.ChangedExperiment>;
  concludeExperiment(experimentId: string, given?: schema.Concluded, options?: CallOptions): Promise<schema.ChangedExperiment>;
  promptLineage(version: string | number, asked?: { agent?: string; limit?: number }, options?: CallOptions): Promise<schema.PromptLineage>;
  feedbackLineage(feedbackId: string, asked?: { limit?: number }, options?: CallOptions): Promise<schema.FeedbackLineage>;
  userLineage(userId: string, asked?: { limit?: number }, options?: CallOptions): Promise<schema.PersonLineage>;
  /** The certificate, or how it stands where it takes longer than half a minute: ask getErasure until its state is done. */
  eraseUser(userId: string, options?: CallOptions): Promise<schema.Certificate | schema.UnderWay>;
  getErasure(erasureId: string, options?: CallOptions): Promise<schema.ErasureState>;
  /** A short-lived token that permits feedback on one execution: for a page. */
  executionToken(asked: schema.TokenRequest, options?: CallOptions): Promise<schema.Token>;
  getSession(options?: CallOptions): Promise<schema.Session>;
  endSession(options?: CallOptions): Promise<null>;
}
