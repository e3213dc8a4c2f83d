"""Moto's server with what its CloudFormation lacks and a stack set's stack takes: the resource AWS::CloudFormation::StackSet, whose
updates reach the stacks; clusters of EKS; networks that are linked across regions; resources whose condition has come true.

Prints the port on which it listens, and ends when its standard input does."""

import sys
from urllib.parse import urlparse

from moto.cloudformation import parsing
from moto.cloudformation.models import cloudformation_backends
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnection
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.models import s3_backends


def link(cls, resource_name, cloudformation_json, account_id, region_name, **_):
    """The other network is in another region, and of the same account, so it accepts at once."""
    properties = cloudformation_json["Properties"]
    here, there = ec2_backends[account_id][region_name], ec2_backends[account_id][properties["PeerRegion"]]
    made = here.create_vpc_peering_connection(here.get_vpc(properties["VpcId"]), there.get_vpc(properties["PeerVpcId"]))
    there.accept_vpc_peering_connection(made.id)
    return made


VPCPeeringConnection.create_from_cloudformation_json = classmethod(link)


update_resource = parsing.parse_and_update_resource


def update(logical_id, resource_json, resources_map, **rest):
    """What moto cannot change it forgets; it is what it was, or what its condition just let it become."""
    return update_resource(logical_id, resource_json, resources_map, **rest) or resources_map[logical_id]


parsing.parse_and_update_resource = update


class StackSet(CloudFormationModel):
    __module__ = "moto.cloudformation.emulator"  # by which moto tells the service
    def __init__(self, name):
        self.name = name

    @staticmethod
    def cloudformation_name_type():
        return "StackSetName"

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::StackSet"

    @property
    def physical_resource_id(self):
        return self.name

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        return cls(resource_name).apply(cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
        return original_resource.apply(cloudformation_json["Properties"], account_id, region_name)

    def apply(self, properties, account, region):
        self.name = properties["StackSetName"]
        assert properties["OperationPreferences"]["RegionConcurrencyType"] == "SEQUENTIAL"
        url = urlparse(properties["TemplateURL"])
        bucket = url.netloc.split(".")[0]
        template = s3_backends[account]["aws"].get_object(bucket, url.path.lstrip("/")).value.decode()
        common = {entry["ParameterKey"]: entry["ParameterValue"] for entry in properties["Parameters"]}
        backend = cloudformation_backends[account][region]
        if self.name not in [known.name for known in backend.list_stack_sets()]:
            backend.create_stack_set(
                name=self.name, template=template, parameters=common, tags={}, description="", exec_role=None, admin_role=None,
                permission_model="SELF_MANAGED",
            )
        instances = backend.describe_stack_set(self.name).instances
        groups = {group["Regions"][0]: group for group in properties["StackInstancesGroup"]}
        for place in properties["OperationPreferences"]["RegionOrder"]:
            own = {entry["ParameterKey"]: entry["ParameterValue"] for entry in groups[place].get("ParameterOverrides", [])}
            instance = instances.get_instance(account, place)
            if instance is None:
                given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**common, **own}.items()]
                instances.create_instances([account], [place], given, {}, "SELF_MANAGED")
                instance = instances.get_instance(account, place)
                stack = instance.stack
                instance.to_dict = lambda place=place, stack=stack: {
                    "StackId": stack.stack_id, "StackSetId": self.name, "Region": place, "Account": account,
                    "Status": "CURRENT", "ParameterOverrides": [], "StackInstanceStatus": {"DetailedStatus": "SUCCEEDED"},
                }
            else:
                instance.stack.update(template, parameters={**common, **own})
        return self


class Cluster(CloudFormationModel):
    """Of EKS no more than the security group that comes with a cluster, which rules refer to."""

    __module__ = "moto.cloudformation.emulator"

    def __init__(self, name, group):
        self.name, self.group = name, group

    @staticmethod
    def cloudformation_name_type():
        return "Name"

    @staticmethod
    def cloudformation_type():
        return "AWS::EKS::Cluster"

    @property
    def physical_resource_id(self):
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr == "ClusterSecurityGroupId"

    def get_cfn_attribute(self, attribute_name):
        return self.group.id

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        name = cloudformation_json["Properties"]["Name"]
        backend = ec2_backends[account_id][region_name]
        subnet = backend.get_subnet(cloudformation_json["Properties"]["ResourcesVpcConfig"]["SubnetIds"][0])
        group = backend.create_security_group(name, "of the cluster", vpc_id=subnet.vpc_id)
        return cls(name, group)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, **_):
        return original_resource


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
