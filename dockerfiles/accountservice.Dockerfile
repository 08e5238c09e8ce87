# The binary needs nothing from its base image: iron/base or scratch is enough.
ARG BASE_IMAGE=iron/base
FROM ${BASE_IMAGE}

# /data belongs to the user of the service. Its mode 1777 comes from the context: an engine
# gives a tmpfs the mode of the directory that it covers.
COPY --chown=65532:65532 rootfs/ /
COPY THIRD_PARTY.txt /
USER 65532:65532
ENV ACCOUNTSERVICE_DB=/data/accounts.db \
    ACCOUNTSERVICE_ADMIN_ADDR=:6768 \
    ACCOUNTSERVICE_DRAIN=4s
EXPOSE 6767
HEALTHCHECK --interval=5s --timeout=2s --retries=3 CMD ["/accountservice", "healthcheck"]
ENTRYPOINT ["/accountservice"]

# The steps that differ in each version come last: so the steps above stay in the builder's cache.
COPY service /accountservice
ARG SERVICE=accountservice
ARG VERSION=dev
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.description="Serves accounts from a BoltDB file over HTTP" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
