# Weir from this checkout: `docker build -t weir .`, then `docker run weir VERB`. Not built in CI, which has no Docker.
FROM node:22-bookworm-slim
WORKDIR /weir
COPY . .
RUN npm run setup && mkdir -p /var/lib/weir && chown node /var/lib/weir
USER node
ENTRYPOINT ["node", "scripts/weir.mjs"]
CMD ["--help"]
