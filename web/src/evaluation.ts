/** What a cell says about its last evaluation. Pure: the document's words in, words for people out. */

import { duration, ticking } from "./format";
import { isRecord } from "./records";

const STATES = ["queued", "running", "done", "failed", "interrupted", "lost"] as const;

export type EvaluationState = (typeof STATES)[number];

/** `metadata.evaluation` of a cell; times are epoch seconds. */
export interface Evaluation {
  readonly id: string;
  readonly state: EvaluationState;
  readonly by: string;
  readonly queued?: number;
  readonly started?: number;
  readonly seconds?: number;
  readonly reason?: string;
  /** The program waits for a line, and asks with this. */
  readonly prompt?: string;
  readonly password?: boolean;
}

/** The evaluation in `value`, which any member may have written; undefined when it is none. */
export function readEvaluation(value: unknown): Evaluation | undefined {
  if (!isRecord(value)) return undefined;
  const state = STATES.find((name) => name === value["state"]);
  if (state === undefined || typeof value["id"] !== "string") return undefined;
  const evaluation: Record<string, unknown> = { id: value["id"], state, by: text(value["by"]) ?? "" };
  for (const name of ["queued", "started", "seconds"]) {
    if (typeof value[name] === "number") evaluation[name] = value[name];
  }
  for (const name of ["reason", "prompt"]) evaluation[name] = text(value[name]);
  if (value["password"] === true) evaluation["password"] = true;
  return evaluation as unknown as Evaluation;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function isActive(evaluation: Evaluation | undefined): boolean {
  return evaluation?.state === "queued" || evaluation?.state === "running";
}

/** One line: what happens or happened, and for whom. `now` in epoch seconds. */
export function describe(evaluation: Evaluation, now: number): string {
  const by = evaluation.by === "" ? "" : ` · ${evaluation.by}`;
  return describeState(evaluation, now) + by;
}

function describeState(evaluation: Evaluation, now: number): string {
  const took = evaluation.seconds === undefined ? "" : ` after ${duration(evaluation.seconds)}`;
  const why = evaluation.reason === undefined || evaluation.reason === "" ? "" : `: ${evaluation.reason}`;
  switch (evaluation.state) {
    case "queued":
      return "Queued";
    case "running":
      if (evaluation.prompt !== undefined) return "Waiting for input";
      return `Running${evaluation.started === undefined ? "" : ` for ${ticking(now - evaluation.started)}`}`;
    case "done":
      return evaluation.seconds === undefined ? "Done" : `Done in ${duration(evaluation.seconds)}`;
    case "failed":
      return `Failed${took}${why}`;
    case "interrupted":
      return `Interrupted${took}${why}`;
    case "lost":
      return `Lost${why === "" ? ": the engine ended before this did" : why}`;
  }
}
