# Watercourse in a container. State is in /home/twin/data: keep it on a volume.
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 twin
WORKDIR /opt/watercourse
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY api api
COPY graph graph
COPY hydraulics hydraulics
COPY ledger ledger
COPY twin twin
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER twin
RUN mkdir /home/twin/data
ENV TWIN_HOME=/home/twin/data
VOLUME /home/twin/data
ENTRYPOINT ["twin"]
CMD ["serve", "--host", "127.0.0.1", "--port", "8000"]
