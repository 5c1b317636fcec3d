"""A Celery task that calls a service.

leveret serve tasks:Reports      # in one terminal
celery --app tasks worker        # in another
python tasks.py                  # queues a task, and prints its result
"""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown

import leveret
import leveret.blocking
from leveret import Service, method


class Reports(Service):
    @method(timeout=60)
    async def write(self, number: int) -> str:
        return f"report {number}"


URL = os.environ.get("LEVERET_URL", "amqp://guest:guest@localhost/")
app = Celery("tasks", broker=URL, backend="rpc://")  # one RabbitMQ for both
rabbit = leveret.blocking.connect(URL)  # connects with the first call: in each process by itself
reports = rabbit.remote(Reports)


@app.task(bind=True, max_retries=60)
def write_report(self: Any, number: int) -> str:
    try:
        return rabbit.run(reports.write(number))
    except leveret.CallError as error:
        if error.executed == "no":  # the handler has not begun: to try again is safe
            raise self.retry(exc=error, countdown=1) from error
        raise


@worker_process_shutdown.connect
def close(**_: Any) -> None:
    rabbit.close()  # a process of the pool ends without the finalizers of a program


if __name__ == "__main__":
    print(write_report.delay(7).get(timeout=60))
