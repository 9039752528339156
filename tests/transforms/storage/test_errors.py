"""What the clients of stores raise, as they raise it, becomes one line; what is about something else passes."""

import pytest
from apache_beam.io.filesystem import BeamIOError

from transforms.lib.errors import MissingError, StoreError
from transforms.storage.errors import one_line


def boto(status, code):
    from botocore.exceptions import ClientError

    return ClientError({"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code, "Message": "m"}}, "Put")


def errors():
    import requests
    from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ParamValidationError
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError

    gone, no_answer = "does not exist", "does not answer, even after retries"
    yield "s3", boto(403, "AccessDenied"), "access denied"
    yield "s3", boto(404, "NoSuchKey"), gone
    yield "s3", boto(404, "NoSuchBucket"), "there is no bucket b; create it"
    yield "s3", boto(412, "PreconditionFailed"), "was replaced while it was read"
    yield "s3", boto(503, "SlowDown"), no_answer
    yield "s3", boto(400, "InvalidArgument"), "refuses the request"
    yield (
        "s3",
        NoCredentialsError(),
        "there are no credentials for s3:// (Unable to locate credentials); set AWS_ACCESS_KEY_ID",
    )
    yield "s3", EndpointConnectionError(endpoint_url="http://x"), no_answer
    yield "s3", ParamValidationError(report="Invalid bucket name"), "refuses the request (Parameter validation failed"
    yield "s3", ModuleNotFoundError("no", name="boto3"), "s3:// needs boto3"
    yield "gs", exceptions.Forbidden("no\nright"), "access denied (403 no right)"
    yield "gs", exceptions.NotFound("x"), gone
    yield "gs", exceptions.NotFound("The specified bucket does not exist."), "there is no bucket b; create it"
    yield "gs", exceptions.RetryError("late", exceptions.ServiceUnavailable("x")), no_answer
    yield "gs", requests.exceptions.ConnectionError("x"), no_answer
    yield (
        "gs",
        DefaultCredentialsError("x"),
        "no credentials for gs:// (x); run `gcloud auth application-default login`",
    )
    yield "gs", BeamIOError("List", {"gs://b/x": exceptions.TooManyRequests("x")}), no_answer


@pytest.mark.parametrize(("scheme", "error", "said"), [pytest.param(*case, id=case[2][:24]) for case in errors()])
def test_a_client_error_is_one_line_with_the_address(scheme, error, said):
    with pytest.raises(StoreError) as caught, one_line(f"{scheme}://b/x"):
        raise error
    (line,) = caught.value.problems
    assert line.startswith(f"{scheme}://b/x")
    assert said in line
    assert "\n" not in line
    assert isinstance(caught.value, MissingError) == ("exist" in said or "no bucket" in said)


def test_a_missing_object_that_is_to_be_written_means_a_missing_bucket():
    from google.api_core.exceptions import NotFound

    with pytest.raises(MissingError, match="there is no bucket b"), one_line("gs://b/x", writes=True):
        raise NotFound("x")


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError("x"), BeamIOError("x", {"a": OSError("y")})])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, one_line("/local"):
        raise error
    assert caught.value is error
