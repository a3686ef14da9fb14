/**
 * React hooks on the client. React comes from the page that uses them: `createHooks(React, client)`. Types: react.d.ts.
 *
 * Belongs here: asking, sending, and when what was asked is stale. Not here: requests (learning.js), anything that is drawn.
 *
 * A hook that asks gives { data, error, loading, refetch }; it stops when its component goes away, and only the newest question's answer counts. A hook
 * that sends gives { mutate, data, error, pending, reset }; `mutate` resolves to the answer, or to undefined where it failed and `error` says why.
 */

const ENDED = new Set(["completed", "failed", "cancelled"]);

export function createHooks(React, client) {
  const { useCallback, useEffect, useRef, useState } = React;
  const topics = new Map();

  /** Everything that was asked about these topics is asked again. */
  function changed(...names) {
    for (const name of names) for (const refetch of topics.get(name) ?? []) refetch();
  }

  function useQuery(topic, values, ask, enabled = true) {
    const key = JSON.stringify(values);
    const [state, setState] = useState({ key, data: null, error: null, loading: enabled });
    const asking = useRef(null);
    const newest = useRef(ask);
    newest.current = ask;

    const refetch = useCallback(async () => {
      asking.current?.abort();
      const mine = new AbortController();
      asking.current = mine;
      setState((before) => ({ key, data: before.key === key ? before.data : null, error: null, loading: true }));
      try {
        const data = await newest.current({ signal: mine.signal });
        if (!mine.signal.aborted) setState({ key, data, error: null, loading: false });
        return data;
      } catch (error) {
        // What was known stays, beside the error: a lost connection empties no page.
        if (!mine.signal.aborted) setState((before) => ({ ...before, error, loading: false }));
        return undefined;
      }
    }, [key]);

    useEffect(() => {
      if (!enabled) return undefined;
      const others = topics.get(topic) ?? topics.set(topic, new Set()).get(topic);
      others.add(refetch);
      refetch();
      return () => {
        others.delete(refetch);
        asking.current?.abort();
      };
    }, [refetch, topic, enabled]);

    // Between another question and its effect, the former answer is no answer.
    const shown = state.key === key ? state : { data: null, error: null, loading: enabled };
    return { data: shown.data, error: shown.error, loading: shown.loading && enabled, refetch };
  }

  function useMutation(send, related) {
    const [state, setState] = useState({ data: null, error: null, pending: false });
    const there = useRef(false);
    const newest = useRef(0);
    const sending = useRef(send);
    sending.current = send;
    useEffect(() => {
      there.current = true;
      return () => { there.current = false; };
    }, []);

    const mutate = useCallback(async (...given) => {
      newest.current += 1;
      const mine = newest.current;
      const settle = (next) => { if (there.current && mine === newest.current) setState(next); };
      settle({ data: null, error: null, pending: true });
      try {
        const data = await sending.current(...given);
        settle({ data, error: null, pending: false });
        changed(...related);
        return data;
      } catch (error) {
        settle({ data: null, error, pending: false });
        return undefined;
      }
    }, []);
    const reset = useCallback(() => {
      newest.current += 1;
      if (there.current) setState({ data: null, error: null, pending: false });
    }, []);
    return { mutate, reset, ...state };
  }

  return {
    useSubmitFeedback: () => useMutation((feedback) => client.submitFeedback(feedback), ["feedback", "statistics"]),

    useFeedbackStats: (agentId, { days } = {}) =>
      useQuery("feedback", ["statistics", agentId, days], (options) => client.feedbackStatistics(agentId, { days }, options), Boolean(agentId)),

    useCommonIssues: (agentId, { days, limit } = {}) =>
      useQuery("feedback", ["issues", agentId, days, limit], (options) => client.commonIssues(agentId, { days, limit }, options), Boolean(agentId)),

    useAnnotationQueue: (filters = {}) => useQuery("queue", filters, (options) => client.annotationQueue(filters, options)),

    useSubmitAnnotation: () => useMutation((annotation) => client.submitAnnotation(annotation), ["queue", "statistics", "datasets"]),

    useLearningStats: () => useQuery("statistics", [], (options) => client.statistics(options)),

    useOptimizePrompt: (options) => useOptimization(options),

    useDatasets: (agentId) => useQuery("datasets", [agentId], (options) => client.listDatasets(agentId, options), Boolean(agentId)),

    useSubmitDemonstration: () => useMutation((demonstration) => client.submitDemonstration(demonstration), ["queue", "statistics"]),
  };

  /** Starts a run and follows it until it has ended, its component has gone, or another one is started. */
  function useOptimization({ every = 2000 } = {}) {
    const [run, setRun] = useState(null);
    const following = useRef(null);
    useEffect(() => () => following.current?.abort(), []);

    const send = async (asked) => {
      following.current?.abort();
      const mine = new AbortController();
      following.current = mine;
      setRun(null);
      const { run_id: runId } = await client.optimizePrompt(asked);
      const seen = (now) => { if (!mine.signal.aborted) setRun(now); };
      return client.followRun(runId, seen, { every, signal: mine.signal });
    };
    const sent = useMutation(send, ["statistics", "datasets"]);
    const reset = useCallback(() => {
      following.current?.abort();
      setRun(null);
      sent.reset();
    }, [sent.reset]);
    return { ...sent, reset, run, progress: run?.progress ?? 0, ended: run !== null && ENDED.has(run.status) };
  }
}
