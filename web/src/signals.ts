/** Telling and listening, and ending what listens. Synchronous, in the order of listening; it knows nothing of rooms. */

/** Something that happens now and then. A listener that throws does not keep others from hearing. */
export class Signal<T> {
  readonly #listeners = new Set<(event: T) => void>();

  /** Hears every later event, until the returned function is called. */
  listen(listener: (event: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

/** What is to be undone when an element leaves its page: listeners, editors, timers. Reusable after its end. */
export class Lifetime {
  #endings: (() => void)[] = [];

  add(ending: () => void): void {
    this.#endings.push(ending);
  }

  /** Listens to a DOM event until the end. */
  on<T extends Event = Event>(target: EventTarget, type: string, listener: (event: T) => void): void {
    const heard = listener as EventListener;
    target.addEventListener(type, heard);
    this.add(() => target.removeEventListener(type, heard));
  }

  /** Calls `step` every `milliseconds` until the end. */
  every(milliseconds: number, step: () => void): void {
    const timer = setInterval(step, milliseconds);
    this.add(() => clearInterval(timer));
  }

  end(): void {
    const endings = this.#endings.reverse();
    this.#endings = [];
    for (const ending of endings) ending();
  }
}
