/**
 * What applications and operators ask of the service: prompts and searches to serve, experiments, lineage, erasure, credentials.
 *
 * Belongs here: a named method per route, as in learning.js, whose class this is a part of. Not here: feedback, review, learning (learning.js).
 */

import { Transport, segment } from "./transport.js";

export class Operating extends Transport {
  // Serving

  /** What the agent is to be prompted with. With the `etag` of an answer: null while that is what serves. */
  servedPrompt(agentId, { unit, input, label, exposure, etag } = {}, options) {
    const headers = { ...options?.headers, ...(etag ? { "If-None-Match": etag } : {}) };
    return this.request("GET", `/prompts/${segment(agentId)}`, { ...options, headers, query: { unit, input, label, exposure } });
  }

  /** What serves the agent by kind, what a rollback would bring back, and which rollouts and experiments are under way. */
  serving(agentId, options) {
    return this.request("GET", `/agents/${segment(agentId)}/serving`, options);
  }

  listPromptVersions(agentId, options) {
    return this.request("GET", `/prompts/${segment(agentId)}/versions`, options);
  }

  getPromptVersion(agentId, version, options) {
    return this.request("GET", `/prompts/${segment(agentId)}/versions/${segment(version)}`, options);
  }

  writePrompt(agentId, prompt, options) {
    return this.request("POST", `/prompts/${segment(agentId)}`, { ...options, body: prompt });
  }

  moveLabel(agentId, label, target, options) {
    return this.request("PUT", `/prompts/${segment(agentId)}/labels/${segment(label)}`, { repeatable: true, ...options, body: target });
  }

  search(q, { agent, k, unit, exposure } = {}, options) {
    return this.request("GET", "/search", { ...options, query: { q, agent, k, unit, exposure } });
  }

  /** What an expert would do next. `history`: the actions so far; `state`: what the agent was given. */
  nextAction(agentId, { state, history, ...plain } = {}, options) {
    const query = { ...plain, state: asJson(state), history: asJson(history) };
    return this.request("GET", `/agents/${segment(agentId)}/next-action`, { ...options, query });
  }

  playbooks(agentId, { version, task_type } = {}, options) {
    return this.request("GET", `/agents/${segment(agentId)}/playbooks`, { ...options, query: { version, task_type } });
  }

  // Experiments

  listExperiments({ agent, state } = {}, options) {
    return this.request("GET", "/experiments", { ...options, query: { agent, state } });
  }

  getExperiment(experimentId, options) {
    return this.request("GET", `/experiments/${segment(experimentId)}`, options);
  }

  createExperiment(experiment, options) {
    return this.request("POST", "/experiments", { ...options, body: experiment });
  }

  startExperiment(experimentId, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/start`, options);
  }

  pauseExperiment(experimentId, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/pause`, options);
  }

  resumeExperiment(experimentId, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/resume`, options);
  }

  abortExperiment(experimentId, given = {}, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/abort`, { ...options, body: given });
  }

  weighExperiment(experimentId, weights, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/weights`, { ...options, body: { weights } });
  }

  analyzeExperiment(experimentId, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/analyze`, options);
  }

  concludeExperiment(experimentId, given = {}, options) {
    return this.request("POST", `/experiments/${segment(experimentId)}/conclude`, { ...options, body: given });
  }

  // Where something came from

  promptLineage(version, { agent, limit } = {}, options) {
    return this.request("GET", `/lineage/prompt/${segment(version)}`, { ...options, query: { agent, limit } });
  }

  feedbackLineage(feedbackId, { limit } = {}, options) {
    return this.request("GET", `/lineage/feedback/${segment(feedbackId)}`, { ...options, query: { limit } });
  }

  userLineage(userId, { limit } = {}, options) {
    return this.request("GET", `/lineage/user/${segment(userId)}`, { ...options, query: { limit } });
  }

  // Erasing a person

  /** The certificate, or how it stands where it takes longer than half a minute: ask getErasure until its state is done. */
  eraseUser(userId, options) {
    return this.request("DELETE", `/users/${segment(userId)}`, { timeout: 60_000, repeatable: true, ...options });
  }

  getErasure(erasureId, options) {
    return this.request("GET", `/erasures/${segment(erasureId)}`, options);
  }

  // Credentials

  /** A short-lived token that permits feedback on one execution: for a page. */
  executionToken(asked, options) {
    return this.request("POST", "/tokens", { repeatable: true, ...options, body: asked });
  }

  getSession(options) {
    return this.request("GET", "/session", options);
  }

  endSession(options) {
    return this.request("DELETE", "/session", { repeatable: true, ...options });
  }
}

const asJson = (value) => (value === undefined || value === null || typeof value === "string" ? value : JSON.stringify(value));
