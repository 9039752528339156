"""A Terraform provider that knows a schema and no cloud: Terraform validates, plans and mocks by it, nothing applies.

python provider.py schema.json      (started by Terraform; speaks its plugin protocol 6; needs the packages tf, msgpack)
"""

import base64
import json
import sys
import tempfile
import threading
from concurrent import futures
from pathlib import Path

import grpc
import msgpack
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc
from tf.gen import tfplugin_pb2 as messages
from tf.gen import tfplugin_pb2_grpc as services
from tf.runner import _self_signed_cert

NESTED = messages.Schema.NestedBlock
NESTING = {"list": NESTED.LIST, "set": NESTED.SET, "single": NESTED.SINGLE}
UNKNOWN = msgpack.ExtType(0, b"\0")


def block(made):
    attributes = [
        messages.Schema.Attribute(
            name=name,
            type=json.dumps(one["type"]).encode(),
            required=one["required"],
            optional=not one["required"],
            computed=one["computed"],
        )
        for name, one in made["attributes"].items()
    ]
    blocks = [
        NESTED(
            type_name=name,
            nesting=NESTING[one["nesting"]],
            block=block(one["block"]),
            min_items=1 if one["required"] and one["nesting"] != "single" else 0,
        )
        for name, one in made["blocks"].items()
    ]
    return messages.Schema.Block(attributes=attributes, block_types=blocks)


class Provider(services.ProviderServicer):
    """Knows what there is; agrees with every configuration that fits the schema."""

    def __init__(self, schema):
        self.schema = schema

    def GetMetadata(self, request, context):
        names = [messages.GetMetadata.ResourceMetadata(type_name=name) for name in self.schema["resources"]]
        sources = [messages.GetMetadata.DataSourceMetadata(type_name=name) for name in self.schema["data"]]
        return messages.GetMetadata.Response(resources=names, data_sources=sources)

    def GetProviderSchema(self, request, context):
        resources = {name: messages.Schema(block=block(one)) for name, one in self.schema["resources"].items()}
        sources = {name: messages.Schema(block=block(one)) for name, one in self.schema["data"].items()}
        return messages.GetProviderSchema.Response(
            provider=messages.Schema(block=block(self.schema["provider"])),
            resource_schemas=resources,
            data_source_schemas=sources,
        )

    def GetFunctions(self, request, context):
        return messages.GetFunctions.Response()

    def ValidateProviderConfig(self, request, context):
        return messages.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request, context):
        return messages.ValidateResourceConfig.Response()

    def ConfigureProvider(self, request, context):
        return messages.ConfigureProvider.Response()

    def ValidateDataResourceConfig(self, request, context):
        return messages.ValidateDataResourceConfig.Response()

    def ReadDataSource(self, request, context):
        return messages.ReadDataSource.Response(state=request.config)

    def UpgradeResourceState(self, request, context):
        state = messages.DynamicValue(json=request.raw_state.json)
        return messages.UpgradeResourceState.Response(upgraded_state=state)

    def ReadResource(self, request, context):
        return messages.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request, context):
        value = msgpack.unpackb(request.proposed_new_state.msgpack, raw=False, strict_map_key=False)
        if value is None:
            return messages.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        for name, one in self.schema["resources"][request.type_name]["attributes"].items():
            if one["computed"] and value.get(name) is None:
                value[name] = UNKNOWN
        return messages.PlanResourceChange.Response(planned_state=messages.DynamicValue(msgpack=msgpack.packb(value)))

    def ApplyResourceChange(self, request, context):
        refusal = messages.Diagnostic(severity=messages.Diagnostic.ERROR, summary="this provider knows no cloud")
        return messages.ApplyResourceChange.Response(new_state=request.prior_state, diagnostics=[refusal])

    def StopProvider(self, request, context):
        return messages.StopProvider.Response()


class Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):
    def __init__(self, stop):
        self.stop = stop

    def Shutdown(self, request, context):
        self.stop.set()
        return grpc_controller_pb2.Empty()


class Output(grpc_stdio_pb2_grpc.GRPCStdioServicer):
    def StreamStdio(self, request, context):
        return iter(())


def main():
    schema = json.loads(Path(sys.argv[1]).read_text())
    stop = threading.Event()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    services.add_ProviderServicer_to_server(Provider(schema), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(Controller(stop), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(Output(), server)
    with tempfile.TemporaryDirectory() as folder:
        certificate, credentials = _self_signed_cert()
        server.add_secure_port(f"unix://{folder}/socket", credentials)
        server.start()
        chain = base64.b64encode(certificate).decode().rstrip("=")
        print("|".join(["1", "6", "unix", f"{folder}/socket", "grpc", chain]), flush=True)
        stop.wait()
        server.stop(None)


if __name__ == "__main__":
    main()
