/**
 * Types of the React hooks.
 *
 * Belongs here: what each hook takes and gives. Not here: bodies and answers (schema.d.ts).
 */

import type { ApiError, LearningClient, QueueFilters } from "./learning.js";
import type * as schema from "./schema.js";

/** What the hooks take from React, 18 or newer. */
export interface ReactLike {
  useCallback: (...given: any[]) => any;
  useEffect: (...given: any[]) => void;
  useRef: (...given: any[]) => any;
  useState: (...given: any[]) => any;
}

export interface Query<T> {
  /** null until the first answer; kept while asking again and beside an error. */
  data: T | null;
  error: ApiError | Error | null;
  loading: boolean;
  /** Asks again; resolves to the answer, or to undefined where it failed. */
  refetch: () => Promise<T | undefined>;
}

export interface Mutation<Given, T> {
  /** Sends; resolves to the answer, or to undefined where it failed and `error` says why. */
  mutate: (given: Given) => Promise<T | undefined>;
  data: T | null;
  error: ApiError | Error | null;
  pending: boolean;
  reset: () => void;
}

export interface OptimizationMutation extends Mutation<schema.Optimization, schema.Run> {
  /** How the run stands; null before it is taken. */
  run: schema.Run | null;
  /** 0–1. */
  progress: number;
  ended: boolean;
}

export interface Hooks {
  useSubmitFeedback(): Mutation<schema.FeedbackRecord, schema.FeedbackStored>;
  /** Asks nothing while `agentId` is empty. */
  useFeedbackStats(agentId: string | null | undefined, period?: { days?: number }): Query<schema.FeedbackStatistics>;
  useCommonIssues(agentId: string | null | undefined, asked?: { days?: number; limit?: number }): Query<schema.Issues>;
  useAnnotationQueue(filters?: QueueFilters): Query<schema.Queue>;
  useSubmitAnnotation(): Mutation<schema.ReviewBody, schema.AnnotationStored>;
  useLearningStats(): Query<schema.Overview>;
  /** Follows the run until it ends, asking every `every` milliseconds (2,000). */
  useOptimizePrompt(options?: { every?: number }): OptimizationMutation;
  useDatasets(agentId: string | null | undefined): Query<schema.Datasets>;
  useSubmitDemonstration(): Mutation<schema.DemonstrationRecord, schema.DemonstrationStored>;
}

/** Call it once, outside of components. */
export function createHooks(React: ReactLike, client: LearningClient): Hooks;
