/** What a view may ask of the kernel. */
export interface Commands {
  /** Have what is shown computed, unless it is there, on its way or impossible; after a failure only `again`. */
  compute(again?: boolean): void;
  cancel(key: string): void;
  /** Find classes by their label. */
  search(query: string): void;
}
