package goblog;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/**
 * The parameters of the simulation, set by -Dname=value. An invalid value ends the process
 * with one line on stderr, before any user starts.
 */
final class Parameters {
  private static final int CONNECT_TIMEOUT_MS = 3000;

  /** Users at the same time. */
  final int users = number("users", 1000, 1, 99_999);

  /** Seconds for which users make requests, including the ramp. */
  final int duration = number("duration", 30, 1, 99_999);

  /** Requests that may fail. */
  final int failures = number("failures", 0, 0, Integer.MAX_VALUE);

  /** Milliseconds within which 99 of 100 requests must be answered. */
  final int p99 = number("p99", 1000, 1, 60_000);

  /** The address of the service, without a slash at the end. */
  final String baseUrl = url("baseUrl", "http://127.0.0.1:6767");

  /** The file that gets the requests of each second. */
  final Path secondsFile = file("secondsFile", "target/seconds.csv");

  private static int number(String name, int otherwise, int least, int most) {
    String value = System.getProperty(name, String.valueOf(otherwise));
    try {
      int number = Integer.parseInt(value);
      if (number >= least && number <= most) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Refused below, like a number out of range.
    }
    throw refuse(name + "='" + value + "': want a number from " + least + " to " + most);
  }

  private static String url(String name, String otherwise) {
    String value = System.getProperty(name, otherwise);
    try {
      URI url = URI.create(value);
      if (String.valueOf(url.getScheme()).matches("https?") && url.getHost() != null
          && url.getPort() <= 65_535
          && url.getPath().matches("/?") && url.getQuery() == null && url.getFragment() == null) {
        return value.replaceFirst("/$", "");
      }
    } catch (IllegalArgumentException e) {
      // Refused below.
    }
    throw refuse(name + "='" + value + "': want http://host:port");
  }

  private static Path file(String name, String otherwise) {
    String value = System.getProperty(name, otherwise);
    try {
      return Files.writeString(Path.of(value), ""); // The file of an earlier run must not count.
    } catch (IOException | InvalidPathException e) {
      throw refuse(name + "='" + value + "': want a file that can be written");
    }
  }

  /** Connects to baseUrl once, and sends nothing. */
  void reach() {
    URI url = URI.create(baseUrl);
    int port = url.getPort() >= 0 ? url.getPort() : url.getScheme().equals("https") ? 443 : 80;
    String host = url.getHost().replaceAll("[\\[\\]]", ""); // An IPv6 address is in brackets.
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host, port), CONNECT_TIMEOUT_MS);
    } catch (IOException e) {
      String why = e instanceof UnknownHostException ? "unknown host" : e.getMessage();
      throw refuse("nothing can be reached at " + baseUrl + ": " + why + "; deploy the service, or set -DbaseUrl");
    }
  }

  private static IllegalArgumentException refuse(String message) {
    System.err.println("error: " + message);
    System.exit(1); // An exception would be shown with its stack trace.
    return new IllegalArgumentException(message);
  }
}
