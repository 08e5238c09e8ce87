ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE}
COPY service /greeter
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/greeter", "healthcheck"]
ENTRYPOINT ["/greeter"]
