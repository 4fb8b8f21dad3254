import type { Parameter } from "../../tensor/parameter.ts";
import type { Shape } from "../../tensor/tensor.ts";
import type { ParameterSpec } from "../parameter_list.ts";

/** A part of a parameter, as transformers sees it: the weight or the bias of a module. */
export interface ModuleTensor {
  /** The module, as "model.language_model.layers.0.self_attn.q_proj". */
  readonly module: string;
  /** Its tensor: "weight" or "bias". */
  readonly leaf: string;
  /** The name of the tensor in the model's folder. */
  readonly key: string;
  /** The parameter that holds it. */
  readonly spec: ParameterSpec;
  /** Its first row in the parameter. */
  readonly row: number;
  /** Its number of rows. */
  readonly rows: number;
  /** Its shape in the model's folder. */
  readonly shape: Shape;
}

/** The adapter of one module: it adds scale x A^T B^T to the module's output. */
export interface ModuleAdapter {
  /** The module's weight. */
  readonly tensor: ModuleTensor;
  /** Rows of its A and columns of its B. */
  readonly rank: number;
  /** What its scale comes from. */
  readonly alpha: number;
  /** The factor of its product. */
  readonly scale: number;
  /** Its first row in the A of its parameter. */
  readonly start: number;
  /** [rows of the module, rank]. */
  readonly b: Parameter;
}

/** The adapters of the modules that one parameter holds. The matrices A of all of them lie behind one another, because they multiply the same input. */
export interface Adapter {
  /** [sum of ranks, in]. */
  readonly a: Parameter;
  /** The modules, in the order of their rows in A. */
  readonly modules: readonly ModuleAdapter[];
}

/** The adapters of a model, for whoever multiplies by its matrices. */
export interface AdapterSource {
  /** The adapter of a named matrix; undefined where there is none, or where they are switched off. @param name Without ".weight". */
  of(name: string): Adapter | undefined;
  /** All adapters, switched off or not. */
  all(): readonly Adapter[];
}
