# LocalStack, and the tests on engines other than the embedded one. The Makefile includes this file.

LOCALSTACK_PORT ?= 4566
export LOCALSTACK_PORT
LOCALSTACK_RUN = $(call find_python); exec "$$python" localstack/run.py
# All that looks at a table; tests/integration/llm and those of the embedded engine and model look at none.
ENGINE_TESTS ?= tests/conformance tests/integration tests/e2e
NO_TABLE := --ignore=tests/integration/llm --ignore=tests/integration/test_embedded_engine.py \
	--ignore=tests/integration/test_embedded_model.py
# Where localstack-client finds it: LOCALSTACK_HOST, or this port here.
LOCALSTACK_ENDPOINT = LOCALSTACK_HOST=$${LOCALSTACK_HOST:-127.0.0.1:$(LOCALSTACK_PORT)} $(PY) -c \
	'from localstack_client.config import get_service_endpoint as at; print(at("dynamodb"))'

.PHONY: localstack localstack-stop localstack-logs localstack-table localstack-lock dynamodb-local \
	dev test-localstack test-dynamodb engines

localstack: ## Start LocalStack: in Docker where there is one, else without
	@$(LOCALSTACK_RUN) start

localstack-stop: ## Stop LocalStack; nothing of it stays running
	@$(LOCALSTACK_RUN) stop

localstack-logs: ## Show the end of LocalStack's log
	@$(LOCALSTACK_RUN) logs

dynamodb-local: ## Run DynamoDB Local alone, until Ctrl-C (LOCALSTACK_PORT=8123 for another port)
	@$(LOCALSTACK_RUN) dynamodb

dev: $(RUN_INSTALLED) localstack ## Serve from LocalStack with sample data; a changed file restarts the server (PORT=8000)
	@export AWS_ENDPOINT_URL=http://127.0.0.1:$(LOCALSTACK_PORT) AWS_REGION=$${AWS_REGION:-us-east-1} \
		BOT_KMS_KEY_ID=$${BOT_KMS_KEY_ID:-alias/$${BOT_TABLE_NAME:-turntable}} \
		BOT_MESSAGE_BUCKET=$${BOT_MESSAGE_BUCKET:-$${BOT_TABLE_NAME:-turntable}-messages}; \
	$(BOT) seed && user=$$($(BOT) seed --who) && key=$$($(BOT) keys create --email "$$user" --name "make dev" --days 1) && \
	printf '\n  Address    http://127.0.0.1:%s\n  API key    %s\n  Talk       %s\n\n' "$${PORT:-8000}" "$$key" \
		"BOT_URL=http://127.0.0.1:$${PORT:-8000} BOT_API_KEY=$$key $(BOT) chat" && \
	exec $(PY) -P -m gunicorn --reload --worker-class gthread --threads 32 --graceful-timeout 2 --no-control-socket \
		--bind "127.0.0.1:$${PORT:-8000}" 'bot.app:create_app()'

test-localstack: $(DEV_INSTALLED) localstack ## Run the integration and e2e tests on LocalStack
	@endpoint=$$($(LOCALSTACK_ENDPOINT)) && \
	TEST_DYNAMODB_ENDPOINT=$$endpoint TEST_LOCALSTACK=$$endpoint $(PY) -m pytest $(PYTEST_FLAGS) $(NO_TABLE) $(ENGINE_TESTS)

test-dynamodb: $(DEV_INSTALLED) ## Run them on another engine: make test-dynamodb ENDPOINT=http://127.0.0.1:8123
	@test -n "$(ENDPOINT)" || { echo "Name the engine: make test-dynamodb ENDPOINT=http://127.0.0.1:8123" >&2; exit 1; }
	TEST_DYNAMODB_ENDPOINT=$(ENDPOINT) $(PY) -m pytest $(PYTEST_FLAGS) $(NO_TABLE) $(ENGINE_TESTS)

engines: SHELL := /bin/bash
engines: $(DEV_INSTALLED) localstack ## Try the engines against what we rely on, and write docs/engines.md
	WRITE_ENGINE_RESULTS=1 $(PY) -m pytest tests/conformance
	endpoint=$$($(LOCALSTACK_ENDPOINT)) && \
	WRITE_ENGINE_RESULTS=1 TEST_DYNAMODB_ENDPOINT=$$endpoint $(PY) -m pytest tests/conformance
	@LOCALSTACK_PORT=8123 $(PY) localstack/run.py dynamodb & engine=$$!; trap 'kill $$engine' EXIT; \
	until (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null; do kill -0 $$engine || exit 1; sleep 0.2; done; \
	WRITE_ENGINE_RESULTS=1 TEST_DYNAMODB_ENDPOINT=http://127.0.0.1:8123 $(PY) -m pytest tests/conformance
	$(PY) tests/conformance/matrix.py

localstack-table: $(DEV_INSTALLED) ## Write what LocalStack's hook makes from the models' declarations
	$(PY) localstack/table_definition.py

localstack-lock: ## Resolve LocalStack's own packages again and write localstack/requirements.txt
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; $(call find_python); "$$python" -m venv "$$tools"; \
	"$$tools/bin/python" -m pip --disable-pip-version-check --quiet install uv; sh localstack/lock.sh "$$tools/bin/uv"
