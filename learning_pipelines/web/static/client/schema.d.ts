/**
 * Bodies and answers of the API, made from its OpenAPI document: `python -m learning_pipelines_tests.web.schema_types` writes this file.
 *
 * Belongs here: what the client's methods name. Not here: the methods (learning.d.ts).
 */

export interface Aborted {
  user?: string | null;
  notes?: string | null;
}

/** Of the steps of held-out demonstrations what was advised rightly, 0–1: by the playbook, and by what served before. */
export interface Accuracy {
  playbook: number | null;
  before: number | null;
  held_out: number | null;
}

export interface Action {
  type: string;
  arguments?: unknown;
  context?: unknown;
  [key: string]: unknown;
}

/** `serving_prompt_version`: what GET /prompts hands out now outside experiments; None if there is no prompt. */
export interface Agent {
  agent_id: string;
  agent: string;
  name: string | null;
  domain: string | null;
  learning_enabled: boolean;
  serving_prompt_version: number | null;
  created_at: string;
}

export interface AgentLine {
  agent: string;
  pending: number;
  approved: number;
  executions: number;
  feedback: number;
  simulated_feedback: number;
  feedback_rate: Rate;
  average_rating: Rating;
  thumbs_up: number;
  thumbs_down: number;
  corrections: number;
}

export interface AgentServing {
  agent: string;
  learning_enabled: boolean;
  /** The model the agent was imported with; null where none is named. */
  model: string | null;
  parts: ServedPart[];
  experiments: ServedExperiment[];
}

export interface Agents {
  agents: Agent[];
}

/** What an expert said. `withdrawn_at`: taken back. `diff`: from the expected output as it was to corrected_output. */
export interface Annotation {
  annotation_id: string;
  example_id: string;
  expert: string;
  annotation_type: "quality_assessment" | "correction" | "explanation" | "categorization" | "difficulty_rating";
  approved: boolean | null;
  needs_revision: boolean;
  technical_accuracy: number | null;
  professional_quality: number | null;
  completeness: number | null;
  clarity: number | null;
  corrected_output: string | null;
  diff: DiffPiece[] | null;
  notes: string | null;
  improvement_suggestions: string | null;
  round: number;
  is_verified: boolean;
  verified_by: string | null;
  verified_at: string | null;
  withdrawn_at: string | null;
  created_at: string;
}

export interface AnnotationStored {
  annotation_id: string;
  example_id: string;
  review_status: "pending" | "in_review" | "approved" | "rejected" | "needs_revision";
  undo_id: string;
  hints: Hints | null;
}

export interface Annotations {
  annotations: Annotation[];
}

/** `units` were exposed to it so far; `mean` of the primary metric. */
export interface ArmSoFar {
  variant: string;
  version: number;
  weight: number;
  units: number;
  mean: number | null;
}

export interface AskedArm {
  /** Its name; null: control, treatment, treatment-1 … */
  variant?: string | null;
  /** What it serves; null: what serves now (the control only). */
  version?: number | null;
  /** Share of new units, or percentage; null: an equal part of what is left. */
  weight?: number | null;
}

export interface AskedExperiment {
  agent: string;
  name: string;
  /** The control first. */
  arms: AskedArm[];
  subject?: "prompt" | "index" | "policy";
  unit?: "user" | "session" | "execution";
  primary_metric?: string;
  /** Metrics that must not get worse; null: the usual ones. */
  guardrails?: string[] | null;
  exclusion_group?: string | null;
  min_duration_hours?: number;
  /** Units in each arm before anything is adopted. */
  min_sample_size?: number;
  options?: Options;
  description?: string | null;
  /** Start it at once. */
  start?: boolean;
  user?: string | null;
}

export interface BatchAnswer {
  results: BatchResult[];
}

export interface BatchResult {
  index: number;
  id: string | null;
  status: "stored" | "unchanged" | "rejected";
  error: string | null;
}

export interface Before {
  executions: number;
  feedback: number;
  feedback_rate: Rate;
  average_rating: Rating;
  corrections: number;
}

export interface BulkBody {
  example_ids: string[];
  approved: boolean;
  notes?: string | null;
  /** The expert for whom an API key without a person of its own speaks. */
  user?: string | null;
}

export interface BulkResult {
  annotation_id: string;
  example_id: string;
  review_status: "pending" | "in_review" | "approved" | "rejected" | "needs_revision";
}

export interface BulkStored {
  undo_id: string;
  results: BulkResult[];
}

/**
 * What was done, without a word of whom: `person` is SHA-256 of organization id and user, `touched` rows by table, `remaining` what a look for
 * the person still found (empty), `checksum` SHA-256 of the canonical JSON of everything else.
 */
export interface Certificate {
  certificate_id: string;
  organization: string;
  person: string;
  requested_by: string;
  requested_at: string;
  completed_at: string;
  touched: Record<string, number>;
  files: ErasedFiles;
  datasets: Successor[];
  prompts: Successor[];
  retrain: Retrained[];
  kept: string[];
  remaining: string[];
  checksum: string;
}

/**
 * `changed` is false where the same had been done before. `version` serves now, `before` did until then (0: the base index, or nothing
 * learnt). `experiment`: the rollout in steps that was begun, or that the rollback ended.
 */
export interface Changed {
  id: string;
  state: string;
  agent: string;
  kind: string;
  changed: boolean;
  version: number | null;
  before: number | null;
  experiment: string | null;
}

/** `changed` is false where it was so before. */
export interface ChangedExperiment {
  id: string;
  state: "draft" | "running" | "paused" | "completed" | "cancelled";
  arms: ArmSoFar[];
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback" | null;
  winner: string | null;
  agent: string;
  name: string;
  kind: "experiment" | "rollout";
  subject: "prompt" | "index" | "policy";
  unit: "user" | "session" | "execution";
  primary_metric: string;
  guardrails: string[];
  exclusion_group: string | null;
  min_duration_hours: number;
  min_sample_size: number;
  config: Record<string, unknown>;
  steps: number[];
  step: number;
  proposal_id: string | null;
  epochs: EpochSoFar[];
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  verdict: Verdict | null;
  comparisons: Compared[];
  sample_ratio: SampleRatio | null;
  refused: Record<string, number>;
  looks: LookSoFar[];
  ramp: Ramp | null;
  ending: Ending | null;
  changed: boolean;
}

/**
 * A treatment against the control in one metric; the difference lies in [low, high] at every look at once (null: unbounded) with probability 1
 * - alpha, and p holds at any time. `role`: primary, guardrail or answers (the feedback rate); `harmed`: worse by more than the tolerance.
 */
export interface Compared {
  role: "primary" | "guardrail" | "answers";
  metric: string;
  variant: string;
  n_control: number;
  n_treatment: number;
  mean_control: number | null;
  mean_treatment: number | null;
  difference: number | null;
  low: number | null;
  high: number | null;
  p: number;
  alpha: number;
  exact: boolean;
  ready: boolean;
  conclusive: boolean;
  tolerance: number;
  harmed: boolean;
}

export interface Concluded {
  user?: string | null;
  /** null: the one that its values lead to now. */
  decision?: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback" | null;
  notes?: string | null;
}

/** `reason`: what the contradiction is. */
export interface Conflict {
  agent: string;
  reason: string;
  found_at: string;
  first: Side;
  second: Side;
}

/** `cursor`: asks for what comes after; null: there is no more. */
export interface Conflicts {
  conflicts: Conflict[];
  cursor: string | null;
}

/**
 * What both sides hold, by the proposal's kind (messages of a prompt, configuration of an index, text of a playbook …); null for nothing
 * learnt. `metric`: what the scores of the evidence are.
 */
export interface Contents {
  metric: string;
  candidate: Record<string, unknown> | null;
  incumbent: Record<string, unknown> | null;
}

/** Another example with the same input, or nearly the same, that teaches something else; `reason` says how they differ. */
export interface Contradiction {
  example_id: string;
  input_text: string;
  original_output: string | null;
  expected_output: string | null;
  reason: string;
}

/** Every number is over the period's days, of feedback in force; `before`: the period of the same length before it. */
export interface Dashboard {
  organization: string;
  agent: string | null;
  period: DashboardPeriod;
  targets: Targets;
  examples: ExampleCounts;
  executions: number;
  executions_with_feedback: number;
  feedback: number;
  /** Of `feedback`: what its sender marked as simulated. */
  simulated_feedback: number;
  feedback_rate: Rate;
  average_rating: Rating;
  thumbs_up: number;
  thumbs_down: number;
  corrections: number;
  dimensions: Record<string, Dimension>;
  before: Before;
  trend: TrendDay[];
  issues: IssueCount[];
  agents: AgentLine[];
  agents_left_out: number;
  freshness: Freshness;
}

export interface DashboardPeriod {
  days: number;
  first: string;
  last: string;
  timezone: string;
}

export interface DatasetVersion {
  id: string;
  name: string;
  version: number;
  status: string;
  total_examples: number;
  avg_quality_score: number | null;
  created_at: string;
}

export interface Datasets {
  datasets: DatasetVersion[];
}

export interface DemonstrationRecord {
  demonstration_id?: string | null;
  agent: string;
  task_description: string;
  actions: Action[];
  final_output: string;
  input_state?: Record<string, unknown> | string | null;
  reasoning?: string | null;
  expert?: string | null;
  task_type?: string | null;
  task_id?: string | null;
  outcome?: "success" | "failure" | null;
  replaces?: string | null;
  created_at?: string | null;
  [key: string]: unknown;
}

export interface DemonstrationStored {
  demonstration_id: string;
  example_id: string;
  status: string;
}

/** What both texts have, only the former, or only the corrected one. */
export interface DiffPiece {
  op: "equal" | "delete" | "insert";
  text: string;
}

export interface Dimension {
  mean: number | null;
  n: number;
}

export interface Dimensions {
  accuracy?: number | null;
  helpfulness?: number | null;
  clarity?: number | null;
  completeness?: number | null;
}

export interface Dismissal {
  example_ids: string[];
  notes?: string | null;
  /** The expert for whom an API key without a person of its own speaks. */
  user?: string | null;
}

export interface Dismissed {
  example_ids: string[];
  status: string;
}

export interface DocumentRecord {
  document_id: string;
  text: string;
  title?: string | null;
  agent?: string | null;
  metadata?: Record<string, unknown> | null;
  [key: string]: unknown;
}

/** The decision that it ended with. `decided_by`: a person, a key, or the hourly job. */
export interface Ending {
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback";
  reason: string;
  decided_by: string;
  at: string;
}

/** A time of unchanged shares. Units are compared with units of the same epoch only. */
export interface EpochSoFar {
  number: number;
  shares: Record<string, number>;
  units: Record<string, number>;
  started_at: string;
  ended_at: string | null;
}

/** Paths in the artifact store. */
export interface ErasedFiles {
  rewritten: string[];
  deleted: string[];
}

/** `state`: requested, erasing, done; the certificate when it is done. */
export interface ErasureState {
  erasure_id: string;
  state: string;
  requested_at: string;
  done_at: string | null;
  status_url: string;
  certificate: Record<string, unknown> | null;
}

/** `agreeing` of the `nearest` demonstrated steps did this; `demonstrations`: ids of the nearest that did. */
export interface Evidence {
  demonstrations: string[];
  agreeing: number;
  nearest: number;
}

/** Active examples now; today begins at midnight of the period's time zone. */
export interface ExampleCounts {
  pending: number;
  approved: number;
  collected_today: number;
  annotated_today: number;
}

export interface Execution {
  execution_id: string;
  agent: string;
  user: string | null;
  session_id: string | null;
  parent_id: string | null;
  input: string;
  output: string;
  tags: string[];
  environment: string | null;
  prompt_version: string | null;
  latency_ms: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  created_at: string;
}

export interface ExecutionRecord {
  execution_id: string;
  agent: string;
  input: string;
  output: string;
  user?: string | null;
  session_id?: string | null;
  parent_id?: string | null;
  messages?: Record<string, unknown>[] | null;
  tags?: string[] | null;
  environment?: string | null;
  context?: Record<string, unknown> | null;
  retrieved?: Retrieved[] | null;
  prompt_version?: string | null;
  latency_ms?: number | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
  cost_usd?: number | null;
  created_at?: string | null;
  [key: string]: unknown;
}

/**
 * `passages`: texts of what is in `retrieved`, where they are known. Of feedback, `superseded` names what the same person said something newer
 * about.
 */
export interface ExecutionWithFeedback {
  execution_id: string;
  agent: string;
  user: string | null;
  session_id: string | null;
  parent_id: string | null;
  input: string;
  output: string;
  tags: string[];
  environment: string | null;
  prompt_version: string | null;
  latency_ms: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  created_at: string;
  messages: unknown[] | null;
  retrieved: unknown[] | null;
  context: Record<string, unknown>;
  feedback: GivenFeedback[];
  passages: Passage[];
  archived: boolean;
}

/**
 * `cursor`: asks for what comes after; null: there is no more. `searched_to`: the page looked back to here and found fewer than were asked
 * for; the cursor goes on there.
 */
export interface Executions {
  executions: Execution[];
  cursor: string | null;
  searched_to: string | null;
}

/**
 * Where the score comes from: BM25 with its share of the query's ideal score, the cosine (null: the chunk has no vector yet), both mixed by
 * lexical_weight; what the re-ranker made of that (null: it did not look); terms that were added to the query; relevance, for trainers.
 */
export interface Explanation {
  bm25: number;
  bm25_share: number;
  cosine: number | null;
  lexical_weight: number;
  mixed: number;
  reranked: number | null;
  expansion: Record<string, number>;
  relevance: Relevance | null;
}

/**
 * `kind`: feedback (on an answer) or retrieval_feedback. `used`: an example of it is in a dataset. `counted_in`: experiments whose metrics it
 * counts in. `archived`: the row itself is gone.
 */
export interface FeedbackLineage {
  datasets: Listed;
  training_runs: Listed;
  prompts: Listed;
  indexes: Listed;
  behavior: Listed;
  clusters: number;
  pairs: Listed;
  tests: Listed;
  proposals: Listed;
  experiments: Listed;
  notes: string[];
  feedback_id: string;
  kind: string;
  execution_id: string | null;
  agent: string | null;
  user: string | null;
  feedback_type: string | null;
  pending_execution: boolean;
  created_at: string | null;
  archived: boolean;
  examples: LearntExample[];
  used: boolean;
  counted_in: Listed;
}

export interface FeedbackRecord {
  feedback_id?: string | null;
  execution_id: string;
  feedback_type: "thumbs_up" | "thumbs_down" | "star_rating" | "detailed_feedback" | "correction" | "report_issue";
  agent?: string | null;
  user?: string | null;
  rating?: number | null;
  dimensions?: Dimensions | null;
  issue_categories?: ("incorrect" | "incomplete" | "unclear" | "hallucination" | "outdated" | "formatting" | "tone" | "other")[] | null;
  feedback_text?: string | null;
  correction_text?: string | null;
  task_context?: Record<string, unknown> | string | null;
  withdrawn?: boolean | null;
  created_at?: string | null;
  [key: string]: unknown;
}

/** Over the period's days, of what is in force. A mean or rate without anything behind it is null. */
export interface FeedbackStatistics {
  total_feedback: number;
  avg_rating: number | null;
  ratings: number;
  dimensions: Record<string, number | null>;
  thumbs_up: number;
  thumbs_down: number;
  corrections: number;
  feedback_rate: number | null;
  executions: number;
  simulated_feedback: number;
  period: Period;
}

export interface FeedbackStored {
  feedback_id: string;
  status: "stored" | "unchanged";
  pending_execution: boolean;
}

/**
 * An approved example rests on this feedback. `dataset_version`: the newest dataset that holds it. `prompt_version`: the version that answers
 * now, if it was learnt from such a dataset.
 */
export interface FeedbackUse {
  feedback_id: string;
  facets: ("thumb" | "rating" | "dimensions" | "issues" | "correction")[];
  dataset_version: number | null;
  prompt_version: number | null;
}

/** Stored sums of days, and what is newer: changes of `live_agents` were counted for this answer; those of `waiting_agents` are not in it yet. */
export interface Freshness {
  /** When the newest of the stored days was computed. */
  computed_at: string | null;
  live_agents: number;
  /** Where changes wait: what is counted was known then. Null: nothing waits, or never computed. */
  as_of: string | null;
  waiting_agents: number;
  waiting_entries: number;
  /** There are more waiting entries than were looked at. */
  waiting_entries_at_least: boolean;
}

export interface GivenFeedback {
  feedback_id: string;
  user: string | null;
  feedback_type: string;
  rating: number | null;
  dimensions: Record<string, number | null>;
  issue_categories: string[];
  feedback_text: string | null;
  correction_text: string | null;
  withdrawn: boolean;
  superseded: ("thumb" | "rating" | "dimensions" | "issues" | "correction")[];
  created_at: string;
}

/** What the judge weighs; weights need not sum to one. */
export interface Goals {
  accuracy?: number | null;
  clarity?: number | null;
  completeness?: number | null;
}

/** A stored report at a glance. Numbers without anything behind them are null; `actions`: what it suggests, the most urgent first. */
export interface Headline {
  week: string;
  starts: string;
  ends: string;
  computed_at: string;
  executions: number;
  feedback: number;
  ratings: number;
  feedback_rate: number | null;
  feedback_rate_interval: number[] | null;
  avg_rating: number | null;
  rating_interval: number[] | null;
  approved: number;
  adopted: number;
  drift_alarms: number;
  actions: string[];
}

/** What a verdict may be compared with. None: there is no approved example yet; no judge has said anything about the item. */
export interface Hints {
  nearest: Nearest | null;
  judge: JudgeVerdict | null;
  contradictions: Contradiction[];
}

/** `share` of all issues named in the period (0–1); `change` against the period of the same length before. */
export interface Issue {
  category: string;
  count: number;
  share: number;
  change: number;
}

/** `share` of all issues named in the period (null: none was); `change` against the period of the same length before. */
export interface IssueCount {
  category: string;
  count: number;
  share: number | null;
  change: number;
}

export interface Issues {
  issues: Issue[];
}

export interface JudgeVerdict {
  judge: string;
  approved: boolean;
  created_at: string;
}

export interface LabelTarget {
  version: number;
  user?: string | null;
}

export interface Launched {
  run_id: string;
  status_url: string;
}

/** `agents`: those for which it is new. */
export interface Learning {
  id: string;
  state: "enabled" | "disabled";
  agents: string[];
}

export interface LearntExample {
  example_id: string;
  example_type: string;
  review_status: string;
  is_active: boolean;
  times_used_in_training: number;
  datasets: Record<string, unknown>[];
}

/** `now`: the service's time when it answered. */
export interface Leased {
  example_id: string;
  lease_until: string | null;
  now: string;
}

/** `count` is exact; `items` are the first, `more` says that there are others. Some lists have further counts. */
export interface Listed {
  count: number;
  items: unknown[];
  more: boolean;
  [key: string]: unknown;
}

/**
 * `labels` point at it now; `score` 0–1 on held-out items and `verdict` of its newest test, null where it was put to none; `parent`: the
 * version it came from.
 */
export interface ListedVersion {
  version: number;
  labels: string[];
  strategy: string | null;
  score: number | null;
  verdict: string | null;
  origin: "imported" | "written" | "learnt" | "erasure";
  parent: number | null;
  model: string | null;
  dataset_version: number | null;
  training_run_id: string | null;
  scores: Record<string, unknown>;
  created_at: string;
}

export interface ListedVersions {
  versions: ListedVersion[];
}

/** What a look found: a point of the sequential plot. */
export interface LookSoFar {
  at: string;
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback";
  treatments: Record<string, Record<string, number | null>>;
}

/** A chat message; its content may hold {{variables}}, which whoever uses the prompt fills. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface MovedLabel {
  label: string;
  version: string;
  before: string | null;
}

/** The approved example with the most similar input; `by` says what similarity (0–1) is: cosine of stored vectors, or shared words. */
export interface Nearest {
  example_id: string;
  input_text: string;
  expected_output: string | null;
  similarity: number;
  by: "embedding" | "words";
}

/**
 * Likeliest first. `abstained`: the policy suggests nothing, for this `reason`. `policy`: number of the version that serves; 0: none does yet,
 * and `hint` says how to get one. `disabled`: learning is switched off for the agent, nothing learnt serves it. `experiment`, `variant`: what
 * the unit takes part in; null: in none.
 */
export interface NextAction {
  agent_id: string;
  suggestions: SuggestedAction[];
  abstained: boolean;
  reason: string | null;
  policy: number;
  hint: string | null;
  disabled: boolean;
  experiment: string | null;
  variant: string | null;
  /**
   * Why the variant of the unit is not served: its version is gone or cannot be used. What serves without it is answered, and the unit not
   * counted.
   */
  experiment_problem: string | null;
}

/** `exclude`: items that one has at hand elsewhere, in another window. */
export interface NextItems {
  domain?: string | null;
  agent?: string | null;
  type?: "positive" | "negative" | "correction" | "demonstration" | "edge_case" | "failure" | "preference" | null;
  status?: "pending" | "in_review" | "needs_revision" | null;
  limit?: number;
  exclude?: string[];
  /** The expert for whom an API key without a person of its own speaks. */
  user?: string | null;
}

export interface Optimization {
  agent_id: string;
  optimization_goals?: Goals | ("accuracy" | "clarity" | "completeness")[] | null;
  /** Most calls of the model. */
  budget?: number | null;
  user?: string | null;
}

/** Every option; what `config` leaves out has its default. */
export interface Options {
  /** Two-sided chance of a wrong winner or loser over the whole life and all treatments together. */
  alpha?: number;
  /** Chance that guardrails stop a harmless variant, over its whole life and all guardrails together. */
  guardrail_alpha?: number;
  /** Smallest gain that matters, in the primary metric's own unit: what is surely below it is not worth adopting. */
  minimum_effect?: number;
  /** Guardrail → how much worse it may become without harm, in its own unit (0 where none is named). */
  tolerances?: Record<string, number>;
  /** Guardrails latency_ms and cost_usd: share of the control's mean by which they may grow without harm. */
  growth?: number;
  /** Ratio metrics are adjusted by the unit's own values before its exposure. */
  cuped?: boolean;
  /** In an exclusion group: share of its units that take part; null: half of what is free. */
  traffic?: number | null;
  /** Hours after which it ends inconclusive; null: it waits. */
  max_hours?: number | null;
  /** Rollouts: hours that each step lasts at least. */
  step_hours?: number;
  /** Rollouts: units with a value that the treatment needs before everybody gets it; earlier a part. */
  step_units?: number;
  /** Whether a winner serves as soon as it is decided; otherwise an administrator concludes. Only administrators may say so. */
  auto_adopt?: boolean;
}

export interface Overview {
  pending_annotations: number;
  approved_examples: number;
  rejected_examples: number;
  collected_today: number;
  annotated_today: number;
  dataset_versions: number;
  agents: number;
}

/**
 * What is in force; null or empty where nothing is. `anonymous`: the sender is nobody in particular, so nothing can be told and nothing
 * superseded.
 */
export interface OwnFeedback {
  execution_id: string;
  anonymous: boolean;
  thumb: "up" | "down" | null;
  rating: number | null;
  dimensions: Record<string, number>;
  issue_categories: string[];
  correction_text: string | null;
  /** How many comments the sender wrote; their texts are not repeated. */
  comments: number;
  used: FeedbackUse[];
}

/**
 * A retrieved text as it is now. `place`: of its entry in `retrieved`. Without a chunk_id the beginning of the document; `is_active` false: it
 * is not searched any more.
 */
export interface Passage {
  place: number;
  chunk_id: string | null;
  document_id: string;
  title: string | null;
  heading: string | null;
  text: string;
  is_active: boolean;
}

export interface Period {
  days: number;
  first: string;
  last: string;
}

/**
 * `examples`: that hold their words or their review, in all; `examples_by`: by why. `feedback_ids`, `example_ids`: the first. `assigned`:
 * experiments they take part in.
 */
export interface PersonLineage {
  datasets: Listed;
  training_runs: Listed;
  prompts: Listed;
  indexes: Listed;
  behavior: Listed;
  clusters: number;
  pairs: Listed;
  tests: Listed;
  proposals: Listed;
  experiments: Listed;
  notes: string[];
  user: string;
  first_seen: string | null;
  executions: number;
  feedback: number;
  retrieval_feedback: number;
  annotations: number;
  demonstrations: number;
  feedback_ids: string[];
  example_ids: string[];
  examples: number;
  examples_by: Record<string, number>;
  assigned: Listed;
}

/**
 * `against`: the version it was measured against, 0 for always the most frequent action. `steps`: the beginning (type "<start>") first; each
 * branch says when it holds and what came next, so many times of so many. `lengths`: quartiles of the number of steps. `mermaid`: source of a
 * flowchart.
 */
export interface Playbook {
  task_type: string;
  version: number;
  against: number;
  created_at: string;
  accuracy: Accuracy;
  demonstrations: number;
  experts: number;
  lengths: number[];
  failures: number;
  steps: Record<string, unknown>[];
  avoid: Record<string, unknown>[];
  seldom: unknown[][];
  text: string;
  markdown: string;
  mermaid: string;
}

/** In the order of task types; [] where none serves. `disabled`: learning is switched off for the agent, so none does. */
export interface Playbooks {
  playbooks: Playbook[];
  disabled: boolean;
}

/**
 * How far review is. Counts of verdicts leave out what was taken back. `mine_today`, `all_today`: verdicts since midnight of the service's
 * time zone; `mine`, `all`, `experts`: of the last `days` days, today included (`since`), and how many experts gave them. `open`: items
 * without a decision; `open_to_me`: those that this expert may judge now; `decided`: examples with a decision, ever.
 */
export interface Progress {
  mine_today: number;
  all_today: number;
  mine: number;
  all: number;
  experts: number;
  open: number;
  open_to_me: number;
  decided: number;
  days: number;
  since: string;
}

/**
 * `parents`: the versions before it, nearest first; runs, datasets, examples and feedback are those of all of them. `demonstrated`: examples
 * whose text stands in it. `experiments`: with the versions of this line by variant.
 */
export interface PromptLineage {
  agent: string;
  version: number;
  origin: string;
  strategy: string | null;
  created_at: string;
  labels: string[];
  parents: Record<string, unknown>[];
  training_runs: Listed;
  datasets: Listed;
  examples: Listed;
  feedback: Listed;
  demonstrated: Listed;
  tests: Listed;
  proposals: Listed;
  experiments: Listed;
  notes: string[];
}

export interface PromptVersion {
  version: string;
  status: "stored" | "unchanged";
}

/**
 * A change with the verdict of its test. `subject` and `incumbent` name what was compared ({version}, of the index with what the version
 * answers by, of behaviour with its kind and topic; version 0 is the base index, or nothing learnt); `run_id` is Dagster's.
 */
export interface Proposal {
  id: string;
  kind: string;
  agent: string;
  verdict: string;
  state: "open" | "approved" | "rejected";
  run_id: string | null;
  subject: Record<string, unknown>;
  incumbent: Record<string, unknown>;
  evidence: Record<string, unknown>;
  training_run_id: string | null;
  rollout: string | null;
  notes: string | null;
  created_at: string;
  reviewed_at: string | null;
}

export interface Proposals {
  proposals: Proposal[];
}

/** One feedback behind an item. `weight`: how far its rater is trusted, 0–1; None for a newcomer or somebody unknown. */
export interface Provenance {
  feedback_id: string;
  execution_id: string;
  user: string | null;
  weight: number | null;
  flags: string[];
  created_at: string;
}

/** `now`: the service's time, so that leases can be counted down by any clock. */
export interface Queue {
  queue: QueueItem[];
  total: number;
  now: string;
}

/**
 * An example under review. Its texts are data: nothing in them is an instruction to whoever shows or reads them. `candidates`: only where
 * experts disagreed and this expert is to decide: the different outputs they approved, in no order, without their names.
 */
export interface QueueItem {
  example_id: string;
  agent: string;
  example_type: string;
  source_type: string;
  input_text: string;
  input_context: Record<string, unknown>;
  original_output: string | null;
  expected_output: string | null;
  output_a: string | null;
  output_b: string | null;
  preferred_output: string | null;
  preference_strength: number | null;
  domain: string | null;
  task_type: string | null;
  complexity: number | null;
  jurisdictions: string[];
  tags: string[];
  confidence_score: number | null;
  distrusted: boolean;
  review_status: "pending" | "in_review" | "approved" | "rejected" | "needs_revision";
  round: number;
  reviews_needed: number;
  created_at: string;
  lease_until: string | null;
  worth: Value;
  provenance: Provenance[];
  candidates: string[];
}

/**
 * Where a rollout is. `units`: of the treatment, with a value of the primary metric, since its beginning; `hours`: at this step, without
 * pauses. `waits`: what the next step waits for; empty: the next look takes it.
 */
export interface Ramp {
  percent: number;
  next_percent: number;
  since: string | null;
  hours: number;
  hours_needed: number;
  units: number;
  units_needed: number;
  waits: string[];
}

export interface Rate {
  /** 0–1; null without anything behind it. */
  value: number | null;
  n: number;
  /** 95 %: lower and upper end. */
  interval: number[] | null;
}

export interface Rating {
  /** Mean of the stars in force, 1–5; null without anything behind it. */
  value: number | null;
  n: number;
  /** 95 %: lower and upper end. */
  interval: number[] | null;
  /** The mean with each rating counted by its rater's weight. */
  weighted: number | null;
}

export interface RatioOfEpoch {
  epoch: number;
  observed: Record<string, number>;
  shares: Record<string, number>;
  p: number;
}

/** How often the chunk helped whoever was shown it: the posterior's mean and its 95 % interval. */
export interface Relevance {
  mean: number;
  low: number;
  high: number;
}

/** Newest first. `next_before`: ask with it for older ones; null where there are none. */
export interface Reports {
  reports: Headline[];
  next_before: string | null;
}

/**
 * A version that saw the person or held them: its part is trained again at the next run of its job. `successor`: what serves instead until
 * then.
 */
export interface Retrained {
  agent: string;
  kind: string;
  version: number | string | null;
  successor: number | string | null;
}

export interface RetrievalFeedbackRecord {
  query: string;
  agent?: string | null;
  retrieved?: string[] | null;
  relevant: string[];
  rating?: number | null;
  helped?: boolean | null;
  user?: string | null;
  created_at?: string | null;
  [key: string]: unknown;
}

/** One passage an execution was given: a chunk or a document, with its rank (from 1) and score. */
export interface Retrieved {
  chunk_id?: string | null;
  document_id?: string | null;
  rank?: number | null;
  score?: number | null;
  [key: string]: unknown;
}

export interface Review {
  approve: boolean;
  rollout?: "immediate" | "canary";
  notes?: string | null;
  user?: string | null;
}

export interface ReviewBody {
  example_id: string;
  approved?: boolean | null;
  needs_revision?: boolean;
  technical_accuracy?: number | null;
  professional_quality?: number | null;
  completeness?: number | null;
  clarity?: number | null;
  corrected_output?: string | null;
  notes?: string | null;
  improvement_suggestions?: string | null;
  annotation_type?: "quality_assessment" | "correction" | "explanation" | "categorization" | "difficulty_rating" | null;
  /** The expert for whom an API key without a person of its own speaks. */
  user?: string | null;
}

export interface Rollback {
  kind?: "prompt" | "index" | "policy" | "playbook" | "rules" | "guidance" | "fine_tune";
  /** Of behaviour: which of several (a task type). */
  topic?: string | null;
  user?: string | null;
}

/** `outcome` says of a completed run whether it did its work or was skipped, and `reason` why; `progress` is 0–1. */
export interface Run {
  run_id: string;
  job: string;
  agent: string | null;
  status: "pending" | "running" | "completed" | "failed" | "cancelled";
  outcome: string | null;
  reason: string | null;
  progress: number;
  created_at: string | null;
  started_at: string | null;
  ended_at: string | null;
}

/** A prompt on the items of a split; `version` is null for a candidate. */
export interface RunEvaluation {
  version: number | null;
  split: string;
  metric: string;
  model: string;
  items: number;
  score: number;
  low: number | null;
  high: number | null;
  faults: number;
  input_tokens: number;
  output_tokens: number;
  seconds: number;
}

export interface RunUsage {
  role: string;
  model: string;
  requests: number;
  answers: number;
  cache_hits: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number | null;
}

export interface Runs {
  runs: Run[];
  cursor: string | null;
}

/** Whether the arms have the units that their shares give them; `p` holds at any time. Nothing is adopted where it is `broken`. */
export interface SampleRatio {
  p: number | null;
  broken: boolean;
  epochs: RatioOfEpoch[];
}

/**
 * Best first. `index`: number of the version that found them all, 0 for the organization's base. `hint`: why there are none. `disabled`:
 * learning is switched off for the agent, so the base index answered. `experiment`, `variant`: what the unit takes part in; null: in none.
 */
export interface SearchAnswer {
  results: SearchHit[];
  index: number | null;
  hint: string | null;
  disabled: boolean;
  experiment: string | null;
  variant: string | null;
  /**
   * Why the variant of the unit is not served: its version is gone or cannot be used. What serves without it is answered, and the unit not
   * counted.
   */
  experiment_problem: string | null;
}

export interface SearchHit {
  chunk_id: string;
  document_id: string;
  score: number;
  text: string;
  heading: string;
  explanation: Explanation;
}

export interface ServedArm {
  variant: string;
  version: number;
  weight: number;
}

/** One that runs or is paused. `percent`: of a rollout, the share of the traffic that it has reached. */
export interface ServedExperiment {
  id: string;
  name: string;
  kind: string;
  subject: string;
  state: string;
  percent: number | null;
  arms: ServedArm[];
}

/**
 * `serves`: what is handed out now outside experiments (0: the base index, nothing learnt; null: there is no prompt). `labelled`: what serves
 * while learning is on. `rollback_to`: what a rollback makes serve; null: there is nothing to take back.
 */
export interface ServedPart {
  kind: "prompt" | "index" | "policy" | "playbook" | "rules" | "guidance" | "fine_tune";
  /** Of behaviour: which of several (a task type); '' where an agent has one. */
  topic: string;
  serves: number | null;
  labelled: number | null;
  candidate: number | null;
  previous: number | null;
  rollback_to: number | null;
  moved_at: string | null;
}

export interface ServedPrompt {
  messages: Record<string, unknown>[];
  version: string;
  /** The experiment that the unit takes part in; null: in none. */
  experiment: string | null;
  /** The unit's variant of it; `version` is what the variant serves. */
  variant: string | null;
  etag: string;
  /** The model to ask: the fine-tuned one that serves, else the one the agent was imported with; null where neither is known. */
  model: string | null;
  /** Learning is switched off for the agent: this is its base prompt, with nothing learnt beside it. */
  disabled: boolean;
  /** Version of the guidance that is shown for the input; null where none is. Only with `input`. */
  guidance: string | null;
  /** Why guidance that serves is not shown: what it was measured with changed, or the encoder is away. Only with `input`. */
  guidance_problem: string | null;
  /**
   * Why the variant of the unit is not served: its version is gone or cannot be used. What serves without it is answered, and the unit not
   * counted.
   */
  experiment_problem: string | null;
}

/** `csrf_token` belongs into the header X-CSRF-Token of every request of this session that changes something. */
export interface Session {
  organization: string;
  user: string;
  role: string;
  csrf_token: string;
  expires_at: string;
}

export interface Settings {
  reviewers: number;
  lease_seconds: number;
}

export interface ShownDemonstration {
  input: string;
  output: string;
}

/**
 * `arms`: the control first. `decision`: how it ended, else what the last look came to. `config`: the options that differ from their defaults,
 * and what is kept up while it runs.
 */
export interface ShownExperiment {
  id: string;
  state: "draft" | "running" | "paused" | "completed" | "cancelled";
  arms: ArmSoFar[];
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback" | null;
  winner: string | null;
  agent: string;
  name: string;
  kind: "experiment" | "rollout";
  subject: "prompt" | "index" | "policy";
  unit: "user" | "session" | "execution";
  primary_metric: string;
  guardrails: string[];
  exclusion_group: string | null;
  min_duration_hours: number;
  min_sample_size: number;
  config: Record<string, unknown>;
  steps: number[];
  step: number;
  proposal_id: string | null;
  epochs: EpochSoFar[];
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
}

export interface ShownExperiments {
  experiments: ShownExperiment[];
}

export interface ShownMessage {
  role: string;
  content: string;
}

/** `k` approved examples nearest to the input, of the dataset version with this id, are shown with each input. */
export interface ShownRetrieval {
  k: number;
  dataset_id: string | null;
  agreeing: boolean;
}

/** One of two examples that contradict each other. */
export interface Side {
  example_id: string;
  example_type: "positive" | "negative" | "correction" | "demonstration" | "edge_case" | "failure" | "preference";
  input_text: string;
  original_output: string | null;
  expected_output: string | null;
  output_a: string | null;
  output_b: string | null;
  preferred_output: string | null;
  review_status: "pending" | "in_review" | "approved" | "rejected" | "needs_revision";
}

export interface Stored {
  id: string;
  status: "stored" | "unchanged";
}

/** A version that held the person, and the one without them; null where nothing was left. */
export interface Successor {
  agent: string;
  old: number | string;
  successor: number | string | null;
  why: string | null;
}

/**
 * `type` `<end>`: nothing is left to do. `confidence`: how often suggestions that are as sure turn out right. `arguments`: values taken from
 * where experts took theirs, in the history, the state or the task; those without such a source are left out.
 */
export interface SuggestedAction {
  type: string;
  confidence: number;
  arguments: Record<string, unknown>;
  evidence: Evidence;
}

export interface Targets {
  feedback_rate: number;
  average_rating: number;
}

export interface Token {
  token: string;
  expires_at: string;
}

export interface TokenRequest {
  execution_id: string;
  user?: string | null;
  ttl_seconds?: number;
}

/**
 * An attempt to learn something; `run_id` is that of the Dagster run that took it up last. `part`: what of it, where the job learns several
 * things. `cost_usd`: null where a price is not known.
 */
export interface TrainingRun {
  id: string;
  run_id: string | null;
  agent: string | null;
  training_type: string;
  part: string | null;
  status: "pending" | "running" | "completed" | "failed" | "cancelled";
  progress: number;
  best_metrics: Record<string, unknown>;
  error: string | null;
  requires_review: boolean;
  review_status: string | null;
  review_notes: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  requests: number;
  answers: number;
  cache_hits: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number | null;
}

export interface TrainingRuns {
  training_runs: TrainingRun[];
  cursor: string | null;
}

export interface TrendDay {
  day: string;
  executions: number;
  executions_with_feedback: number;
  feedback: number;
  thumbs_up: number;
  thumbs_down: number;
  corrections: number;
  average_rating: Rating;
}

/** A prompt that the search tried: mean `score` 0–1 on so many validation `items`, tokens and median seconds a call, and how it ended. */
export interface TriedCandidate {
  name: string;
  strategy: string;
  parent: string;
  note: string;
  items: number;
  score: number | null;
  input_tokens: number | null;
  seconds: number | null;
  outcome: string;
  winner: boolean;
  on_front: boolean;
}

export interface UnderWay {
  erasure_id: string;
  state: string;
  status_url: string;
}

export interface Undone {
  restored: string[];
}

/** Why an item stands where it stands (examples/review_value.py). */
export interface Value {
  value: number;
  uncertainty: number;
  support: number;
  executions: number;
  adjudicating: boolean;
  conflicting: boolean;
}

/** What the values lead to now. `longer`: how much longer it takes, where it is inconclusive. */
export interface Verdict {
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback";
  winner: string | null;
  reason: string;
  longer: Record<string, unknown> | null;
  treatments: Record<string, Record<string, string>>;
}

/**
 * With its numbers, from the values as they were last collected (hourly). `refused`: events that count in no verdict, by reason. `looks`: 120
 * of them at most, evenly spread. `ramp`: of a rollout that is under way. `ending`: of what has ended by a decision.
 */
export interface WholeExperiment {
  id: string;
  state: "draft" | "running" | "paused" | "completed" | "cancelled";
  arms: ArmSoFar[];
  decision: "adopt_treatment" | "keep_control" | "inconclusive" | "rollback" | null;
  winner: string | null;
  agent: string;
  name: string;
  kind: "experiment" | "rollout";
  subject: "prompt" | "index" | "policy";
  unit: "user" | "session" | "execution";
  primary_metric: string;
  guardrails: string[];
  exclusion_group: string | null;
  min_duration_hours: number;
  min_sample_size: number;
  config: Record<string, unknown>;
  steps: number[];
  step: number;
  proposal_id: string | null;
  epochs: EpochSoFar[];
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  verdict: Verdict | null;
  comparisons: Compared[];
  sample_ratio: SampleRatio | null;
  refused: Record<string, number>;
  looks: LookSoFar[];
  ramp: Ramp | null;
  ending: Ending | null;
}

export interface WholeProposal {
  id: string;
  kind: string;
  agent: string;
  verdict: string;
  state: "open" | "approved" | "rejected";
  run_id: string | null;
  subject: Record<string, unknown>;
  incumbent: Record<string, unknown>;
  evidence: Record<string, unknown>;
  training_run_id: string | null;
  rollout: string | null;
  notes: string | null;
  created_at: string;
  reviewed_at: string | null;
  contents: Contents;
}

/** `candidates`: the winner first, at most 200; `proposals`: ids of what came of it. */
export interface WholeTrainingRun {
  id: string;
  run_id: string | null;
  agent: string | null;
  training_type: string;
  part: string | null;
  status: "pending" | "running" | "completed" | "failed" | "cancelled";
  progress: number;
  best_metrics: Record<string, unknown>;
  error: string | null;
  requires_review: boolean;
  review_status: string | null;
  review_notes: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  requests: number;
  answers: number;
  cache_hits: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number | null;
  metrics: Record<string, unknown>;
  candidates: TriedCandidate[];
  evaluations: RunEvaluation[];
  usage: RunUsage[];
  proposals: string[];
}

/**
 * `messages` as they are stored, demonstrations among them (turns of user and assistant that follow each other), which `demonstrations`
 * repeats. `retrieval`: demonstrations picked for each input, null where none are.
 */
export interface WholeVersion {
  version: number;
  labels: string[];
  strategy: string | null;
  origin: "imported" | "written" | "learnt" | "erasure";
  parent: number | null;
  model: string | null;
  messages: ShownMessage[];
  demonstrations: ShownDemonstration[];
  retrieval: ShownRetrieval | null;
  /** Of the dataset version it was learnt from. */
  dataset_id: string | null;
  training_run_id: string | null;
  scores: Record<string, unknown>;
  created_at: string;
}

export interface WrittenPrompt {
  messages: Message[];
  model?: string | null;
  /** The version it was written from; null: the newest. */
  parent?: number | null;
  user?: string | null;
}
