package goblog;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicIntegerArray;

/** Counts the requests of each second. Its memory depends only on the duration. */
final class Seconds {
  private static final long NANOS = 1_000_000_000L;

  private final AtomicIntegerArray requests;
  private final AtomicIntegerArray failures;
  private volatile long start;
  private volatile long startedAt;

  Seconds(int duration) {
    requests = new AtomicIntegerArray(duration);
    failures = new AtomicIntegerArray(duration);
  }

  void start() {
    startedAt = System.currentTimeMillis() / 1000;
    start = System.nanoTime();
  }

  boolean over() {
    return System.nanoTime() - start >= requests.length() * NANOS;
  }

  /** Counts a request that has just ended. After the last second, it counts for that second. */
  void count(boolean failed) {
    int second = (int) Math.min((System.nanoTime() - start) / NANOS, requests.length() - 1);
    requests.incrementAndGet(second);
    if (failed) {
      failures.incrementAndGet(second);
    }
  }

  /** Writes one line for each second: its Unix time, and the number of requests and of failures. */
  void write(Path file) throws IOException {
    try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(file))) {
      out.println("time,requests,failures");
      for (int second = 0; second < requests.length(); second++) {
        out.println((startedAt + second) + "," + requests.get(second) + "," + failures.get(second));
      }
      if (out.checkError()) {
        throw new IOException(file + " cannot be written");
      }
    }
  }
}
