/**
 * A page of somebody else that uses the nine hooks, as an application would: React is its own, client and hooks come from the service.
 *
 * Belongs here: one component per hook, or two. Not here: what is expected of them (test_hooks.py).
 */

import * as React from "react";
import { createRoot } from "react-dom/client";

const { StrictMode, useState } = React;
const given = new URLSearchParams(location.hash.slice(1));
const from = `${given.get("service")}/api/learning/web/client`;
const { LearningClient } = await import(`${from}/learning.js`);
const { createHooks } = await import(`${from}/react.js`);
const hooks = createHooks(React, new LearningClient({ token: given.get("token"), retries: 0 }));

const Said = ({ query }) => <>{query.loading && <i>asking</i>}{query.error && <p role="alert">{query.error.message}</p>}</>;

function Statistics({ agent }) {
  const stats = hooks.useFeedbackStats(agent, { days: 30 });
  const issues = hooks.useCommonIssues(agent, { days: 30 });
  return (
    <section aria-label="Feedback">
      <Said query={stats} />
      <output aria-label="Feedback of the agent">{stats.data ? `${agent}: ${stats.data.total_feedback}` : "nothing"}</output>
      <ul aria-label="Issues">{issues.data?.issues.map((issue) => <li key={issue.category}>{issue.category} {issue.count}</li>)}</ul>
      <button onClick={stats.refetch}>Ask again</button>
    </section>
  );
}

function Thumb({ execution }) {
  const sent = hooks.useSubmitFeedback();
  const send = () => sent.mutate({ execution_id: execution, feedback_type: "report_issue", issue_categories: ["tone"], feedback_id: `said-${execution}` });
  return (
    <section aria-label="Thumb">
      <button disabled={sent.pending} onClick={send}>Wrong tone</button>
      <button onClick={() => sent.mutate({ execution_id: execution, feedback_type: "star_rating", rating: 9 })}>Nine stars</button>
      <button onClick={sent.reset}>Forget</button>
      <output aria-label="Sent">{sent.data?.status}{sent.error && `${sent.error.field}: ${sent.error.message}`}</output>
    </section>
  );
}

function Review() {
  const queue = hooks.useAnnotationQueue({ agent: "desk", limit: 10 });
  const verdict = hooks.useSubmitAnnotation();
  const counts = hooks.useLearningStats();
  return (
    <section aria-label="Review">
      <output aria-label="Approved">{counts.data?.approved_examples}</output>
      <ul aria-label="Queue">
        {queue.data?.queue.map((item) => (
          <li key={item.example_id}>
            {item.input_text} <button onClick={() => verdict.mutate({ example_id: item.example_id, approved: true })}>Approve {item.example_id}</button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Learning({ agent }) {
  const datasets = hooks.useDatasets(agent);
  const optimization = hooks.useOptimizePrompt({ every: 50 });
  const shown = hooks.useSubmitDemonstration();
  const demonstrate = () => shown.mutate({ agent, task_description: "File a VAT return", actions: [{ type: "submit" }], final_output: "Filed." });
  return (
    <section aria-label="Learning">
      <output aria-label="Datasets">{datasets.data?.datasets.map((one) => `${one.name} v${one.version}`).join(", ")}{datasets.error?.message}</output>
      <button disabled={optimization.pending} onClick={() => optimization.mutate({ agent_id: agent, budget: 10 })}>Optimize</button>
      <progress aria-label="Progress" value={optimization.progress} />
      <output aria-label="Run">{optimization.ended ? `${optimization.data?.outcome}: ${optimization.data?.reason}` : optimization.run?.status}</output>
      <button onClick={demonstrate}>Demonstrate</button>
      <output aria-label="Demonstrated">{shown.data?.example_id}{shown.error?.message}</output>
    </section>
  );
}

function Host() {
  const [agent, setAgent] = useState("desk");
  const [there, setThere] = useState(true);
  return (
    <main>
      <h1>React {React.version}</h1>
      <button onClick={() => setAgent("helper")}>Other agent</button>
      <button onClick={() => setThere(!there)}>Show or hide</button>
      {there && <><Statistics agent={agent} /><Thumb execution={`run-${React.version.split(".")[0]}`} /><Review /><Learning agent="desk" /></>}
    </main>
  );
}

createRoot(document.getElementById("host")).render(<StrictMode><Host /></StrictMode>);
