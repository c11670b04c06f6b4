# Weir from this checkout: `docker build -t weir .`, then `docker run weir VERB`. Not built in CI, which has no Docker.
FROM node:22-bookworm-slim
WORKDIR /weir
COPY . .
RUN npm run setup && mkdir -p /var/lib/weir && chown node /var/lib/weir
USER node
ENTRYPOINT ["node", "--v8-pool-size=1", "--min-semi-space-size=32", "--max-semi-space-size=32", "scripts/weir.mjs"]
CMD ["--help"]
