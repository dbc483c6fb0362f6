FROM node:22-alpine AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY bin bin
COPY src src
RUN npm run build

FROM node:22-alpine AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:22-alpine
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist/bin dist/bin
COPY --from=build /app/dist/src dist/src
COPY package.json ./
# The name alone works too: docker exec … revproxy --version
RUN chmod +x dist/bin/revproxy.js && ln -s /app/dist/bin/revproxy.js /usr/local/bin/revproxy
USER node
EXPOSE 8080 9900
# Not through a shell: signals reach the proxy, which then ends what is under way.
ENTRYPOINT ["revproxy"]
CMD ["--help"]
