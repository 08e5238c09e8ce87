package goblog;

import static io.gatling.javaapi.core.CoreDsl.*;
import static io.gatling.javaapi.http.HttpDsl.*;

import io.gatling.javaapi.core.ScenarioBuilder;
import io.gatling.javaapi.core.Simulation;
import io.gatling.javaapi.http.HttpProtocolBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * Users that request one account after another, with a pause of one second after each. They
 * arrive evenly during the first ten seconds, and stop at the end of the duration.
 */
public class AccountSimulation extends Simulation {
  private static final int RAMP_SECONDS = 10;

  private final Parameters parameters = new Parameters();
  private final Seconds seconds = new Seconds(parameters.duration);

  private final HttpProtocolBuilder protocol = http.baseUrl(parameters.baseUrl).disableWarmUp().disableFollowRedirect();

  private final ScenarioBuilder scenario = scenario("accounts").asLongAs(session -> !seconds.over()).on(
      feed(csv("accounts.csv").circular()),
      exec(http("GET /accounts/{id}").get("/accounts/#{id}").check(
          status().is(200),
          bodyString().isEL("{\"id\":\"#{id}\",\"name\":\"#{name}\"}"))),
      exec(session -> {
        seconds.count(session.isFailed());
        return session.markAsSucceeded();
      }),
      pause(1));

  {
    parameters.reach();
    setUp(scenario.injectOpen(rampUsers(parameters.users).during(Math.min(RAMP_SECONDS, parameters.duration))))
        .protocols(protocol)
        .assertions(
            global().allRequests().count().gte(1L),
            global().failedRequests().count().lte((long) parameters.failures),
            global().responseTime().percentile(99).lte(parameters.p99));
  }

  @Override
  public void before() {
    seconds.start();
  }

  @Override
  public void after() {
    try {
      seconds.write(parameters.secondsFile);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
